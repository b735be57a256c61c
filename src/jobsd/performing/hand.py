"""Records which job a thread of the pool has, and how far it has come with it.

Anybody may raise an exception in a thread of ours (libraries for timeouts do, and some come
too late: their job has ended). Python raises it at the end of the call that the thread is
in, or of its next; so does a trace or profile that a job has left behind. Such a stray must
neither lose a job nor run one twice: all that is done between two jobs can be begun anew,
from what the hand says. Where it can't, the hand is adrift meanwhile, and the thread ends.
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
from typing import Any, Generic, NoReturn, TypeVar, Union

import psycopg

from jobsd import errors, text
from jobsd.events.events import emit
from jobsd.jobs.claimed_job import ClaimedJob
from jobsd.jobs.interrupts import Interruptible
from jobsd.jobs.policy import Verdict

from .perform import FRAMES_MAX, Outcome, perform
from .series import Series, Waiting

STRAYS_MAX = 3
"""So many with no job between them are no strays: the thread can't work."""

CHECK_S = 1.0
"""How often it is checked whether the threads live."""

_Thing = TypeVar("_Thing")
Begun = TypeVar("Begun")
Ended = TypeVar("Ended")
_IF_ANY, _ONCE_THERE = (False,), (True,)
_FIRST = methodcaller("popleft")


Item = Union[Waiting, Series, "Errand[Any, Any]", None]
"""What a thread takes from the queue; None is its end."""


class ThreadDiedError(errors.Error):
    """A thread that runs jobs has ended; the log tells by which error."""

    def __init__(self, thread: str) -> None:
        self.thread = thread
        super().__init__(f"the thread {thread} has ended, with the job that it had in hand")


class Hand:
    """One job at most, from the queue to where it is passed on."""

    __slots__ = (
        *("adrift", "on_board", "outcome", "series", "started", "stray", "strays"),
        *("taken", "thread"),
    )

    def __init__(self, thread: Interruptible) -> None:
        self.thread = thread
        self.taken: deque[Item] = deque()
        self.series: Series | None = None
        """Where the next job comes from, until it has none."""
        self.started = 0.0
        self.outcome: Outcome | None = None
        """What became of the job, once it has run."""
        self.on_board = False
        """Whether the scoreboard entry says that it has ended."""
        self.adrift = False
        """Whether nobody could tell, after an exception, how far we have come."""
        self.stray: BaseException | None = None
        self.strays = 0

    def take(self, queue: SimpleQueue[Item], *, wait: bool) -> bool:
        """Take what comes next, if there is any or once there is; return whether we have it.

        Invariant: from the queue into the hand by one call. Between two, what the first has
        returned could be lost.
        """
        try:
            self.taken.extend(map(queue.get, _ONCE_THERE if wait else _IF_ANY))
        except Empty:
            return False
        return True

    def follow(self, series: Series, lock: Lock) -> None:
        """Take the next job of the series, by one call, too; where there is none, close it."""
        try:
            self.taken.extend(map(_FIRST, (series.waiting,)))
        except IndexError:
            with lock:
                series.closed = not series.waiting
            if series.closed:
                self.series = None

    def run(self, job: ClaimedJob) -> Outcome:
        """Run the job, once, in a context of its own.

        One that is empty: what a job sets of variables of its context, the decimal context
        and structlog's among them, no other finds.
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

    def pass_on(self, what: _Thing, to: list[_Thing]) -> None:
        """Give the job away, under the lock that guards the list; the hand is empty then."""
        self.adrift = True
        to.append(what)
        del self.taken[0]
        self.outcome = None
        self.on_board = False
        self.strays = 0
        self.adrift = False

    def report_stray(self) -> None:
        """Tell of the exception that came where no job was."""
        error, self.stray = self.stray, None
        emit("thread.failed", error=error, thread=threading.current_thread().name, ours=True)

    def survives(self, stray: BaseException) -> bool:
        """Return whether the thread can go on after this exception, and take note of it."""
        if self.adrift or self.strays == STRAYS_MAX:
            return False
        self.strays += 1
        self.stray = stray
        return True


class Errand(Generic[Begun, Ended]):
    """What a thread does for the control thread, which waits until it is done.

    `begin` speaks to the database. If a stray interrupts it, nobody knows whether its statement
    was done: the answer is then the same error as after an outage. `finish` takes in what it
    has brought. If a stray interrupts this, the thread ends.
    """

    __slots__ = ("_answer", "_begin", "_begun", "_finish")

    def __init__(self, begin: Callable[[], Begun], finish: Callable[[Begun], Ended]) -> None:
        self._begin, self._finish, self._begun = begin, finish, False
        self._answer: SimpleQueue[Ended | psycopg.Error | OSError] = SimpleQueue()

    def run(self, hand: Hand) -> None:
        """Do it in the thread that calls. May be called anew wherever it was interrupted."""
        begun, self._begun = self._begun, True
        lost = psycopg.OperationalError("a stray exception has interrupted a statement")
        if begun:
            self._answer.put(lost)
            return
        try:
            brought = self._begin()
        except (psycopg.Error, OSError) as error:
            self._answer.put(error)
            return
        except BaseException:
            self._answer.put(lost)
            raise
        hand.adrift = True
        result = self._finish(brought)
        hand.adrift = False
        self._answer.put(result)

    def wait(self, check_threads: Callable[[], None]) -> Ended:
        """Return what has come of it, or raise what came instead."""
        while True:
            try:
                answer = self._answer.get(timeout=CHECK_S)
            except Empty:
                check_threads()
                continue
            if isinstance(answer, (psycopg.Error, OSError)):
                raise answer
            return answer


def check_alive(threads: Iterable[Thread]) -> None:
    """Raise an error when one of the threads has ended."""
    for thread in threads:
        if not thread.is_alive():
            raise ThreadDiedError(thread.name)


def leave(outcome: Outcome) -> NoReturn:
    """End a process that a job has forked and let come back from the job.

    It is a copy of the worker, with the jobs that the worker has in hand: they are not its.
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
