"""Records which job a thread of the pool has, and how far the thread has come with it.

Any code may raise an exception in a thread of ours (libraries for timeouts do, and some raise
it too late, when their job has ended). Python raises it at the end of the call that the thread
is in, or of its next call. A trace or profile function that a job has left behind acts alike.
An asynchronous exception must neither lose a job nor run it twice: every step between two jobs
can be repeated, given the state of the hand. During a step that can't be repeated the hand is
`adrift`, and an exception ends the thread.
"""

import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable
from contextvars import Context
from operator import methodcaller
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import NoReturn, TypeVar

from jobsd import errors, text
from jobsd.events.events import emit
from jobsd.jobs.claimed_job import ClaimedJob
from jobsd.jobs.interrupts import Interruptible
from jobsd.jobs.policy import Verdict

from .perform import FRAMES_MAX, Outcome, perform
from .series import Series, Waiting

STRAYS_MAX = 3
"""After three asynchronous exceptions without a job in between, the thread counts as broken."""

CHECK_S = 1.0
"""Interval of the check that the threads live."""

_Thing = TypeVar("_Thing")
_IF_ANY, _ONCE_THERE = (False,), (True,)
_FIRST = methodcaller("popleft")

Item = Waiting | Series | None
"""An item of the thread's queue; None ends the thread."""


class ThreadDiedError(errors.Error):
    """A thread that runs jobs has ended; the log has the error."""

    def __init__(self, thread: str) -> None:
        self.thread = thread
        super().__init__(f"the thread {thread} has ended, with the job that it had in hand")


class Hand:
    """Holds at most one job, from the queue until the job is passed on."""

    __slots__ = (
        *("adrift", "on_board", "outcome", "series", "started", "stray", "strays"),
        *("taken", "thread"),
    )

    def __init__(self, thread: Interruptible) -> None:
        self.thread = thread
        self.taken: deque[Item] = deque()
        self.series: Series | None = None
        """Supplies the next jobs, until it is empty."""
        self.started = 0.0
        self.outcome: Outcome | None = None
        """The outcome of the job, once it has run."""
        self.on_board = False
        """Whether the scoreboard entry has the end of the job."""
        self.adrift = False
        """Whether an exception would leave it unknown how far the job has come."""
        self.stray: BaseException | None = None
        self.strays = 0

    def take(self, queue: SimpleQueue[Item], *, wait: bool) -> bool:
        """Take the next item, if there is one or when it comes; return whether we have it.

        Invariant: one call moves the item from the queue into the hand. With two calls, an
        exception between them would lose the item.
        """
        try:
            self.taken.extend(map(queue.get, _ONCE_THERE if wait else _IF_ANY))
        except Empty:
            return False
        return True

    def follow(self, series: Series, lock: Lock) -> None:
        """Take the next job of the series, also by one call; close an empty series."""
        try:
            self.taken.extend(map(_FIRST, (series.waiting,)))
        except IndexError:
            with lock:
                series.closed = not series.waiting
            if series.closed:
                self.series = None

    def run(self, job: ClaimedJob) -> Outcome:
        """Run the job, once, in a context of its own.

        The context is empty: no other job sees the context variables that a job sets, including
        the decimal context and that of structlog.
        """
        self.adrift = True
        try:
            outcome = Context().run(perform, job, self.thread)
        except BaseException as stray:  # noqa: BLE001 - it came before or behind the job's code
            if self.thread.grace_s is not None:
                self.thread.unlimit()
            outcome = Outcome(Verdict("failed"), exception=stray)
        self.outcome = outcome
        self.adrift = False
        return outcome

    def wait_for(self, run: Callable[[], Outcome]) -> Outcome:
        """Let the loop run the job, once. An exception that comes meanwhile ends the thread."""
        self.adrift = True
        outcome = self.outcome = run()
        self.adrift = False
        return outcome

    def pass_on(self, what: _Thing, to: list[_Thing]) -> None:
        """Append the job to a list, under the lock that guards it, and empty the hand."""
        self.adrift = True
        to.append(what)
        del self.taken[0]
        self.outcome = None
        self.on_board = False
        self.strays = 0
        self.adrift = False

    def report_stray(self) -> None:
        """Emit an event for an exception that came between two jobs."""
        error, self.stray = self.stray, None
        emit("thread.failed", error=error, thread=threading.current_thread().name, ours=True)

    def survives(self, stray: BaseException) -> bool:
        """Record the exception; return whether the thread can go on after it."""
        if self.adrift or self.strays == STRAYS_MAX:
            return False
        self.strays += 1
        self.stray = stray
        return True


def check_alive(threads: Iterable[Thread]) -> None:
    """Raise an error if one of the threads has ended."""
    for thread in threads:
        if not thread.is_alive():
            raise ThreadDiedError(thread.name)


def leave(outcome: Outcome) -> NoReturn:
    """End a process that a job has forked and that has returned from the job.

    It is a copy of the worker and of the worker's jobs, but does not own them.
    """
    error = outcome.exception
    status = int(error is not None)
    if isinstance(error, SystemExit):
        status = error.code if isinstance(error.code, int) else int(error.code is not None)
    try:
        if error is not None and not isinstance(error, SystemExit):
            sys.stderr.write(text.error_stack(error, FRAMES_MAX))
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(status & 0xFF)
