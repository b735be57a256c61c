"""Waiting for the ends of jobs: one thread and one connection in each process that waits.

The thread begins with the first wait and ends some time after the last. It registers the jobs
that are waited for, so that workers notify it of those that keep their results; the ends of
others, and ends without a worker (a crash, a discard by hand), it finds by polling. It reads
states first, and then results and errors, some MiB at a time. It reconnects for as long as any
thread waits: only the end of this process ends a wait before its time.
"""

import asyncio
import atexit
import contextlib
import os
import secrets
import select
import threading
import warnings
from collections.abc import AsyncGenerator, Generator
from concurrent.futures import Future

import psycopg

from jobsd.clock import microseconds_of, moment_of, monotonic
from jobsd.database.connection import OUTAGES, Session, Target
from jobsd.database.portions import IDS_MAX
from jobsd.errors import Error, JobNotFoundError
from jobsd.events.bound_job import running_job
from jobsd.jobs import draft, time_limits
from jobsd.jobs.progress import JobProgress
from jobsd.states.results import STATEMENTS, End, ends

from . import backend, client
from .progress_watches import Watch, Watches
from .unread import Unread

POLL_MIN_S, POLL_MAX_S = 0.02, 1.0
"""The pause between polls for ends without a notification: at first, and later."""
LINGER_S = 5.0
"""The time for which the connection is kept after the last wait."""
AGAIN_S = 0.5
END_S = 2.0
"""How long the end of the program waits for the connection to be closed."""


class Wait(Future[End]):
    """A wait for the end of a job, which its creation time tells from others of its id.

    If that is not known, the first look at the job sets it.
    """

    def __init__(self, created_us: int | None) -> None:
        super().__init__()
        self.created_us = created_us

    def means(self, end: End) -> bool:
        """Return whether this is about the job that is waited for, and no other with its id."""
        if self.created_us is None:
            self.created_us = end.created_us
        return end.created_us is None or self.created_us == end.created_us


class Waiting:
    """All waits of this process for jobs of one database."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.pid = os.getpid()
        self._lock = threading.Lock()
        self._waits: dict[int, list[Wait]] = {}
        self._new: set[int] = set()
        self._old: set[int] = set()
        self._seen: set[int] = set()
        self._due: dict[int, tuple[float, float]] = {}
        """When it is to be asked for each job, and how long after that again."""
        self._unread = Unread()
        self.watches = Watches()
        self._waiter = secrets.randbits(62)
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(self._writer, False)
        self._thread: threading.Thread | None = None
        self._ending = False

    def add(self, job_id: int, created_us: int | None = None) -> Wait:
        """Wait for the end of a job: the future is done when it has ended."""
        future = Wait(created_us)
        with self._lock:
            self._waits.setdefault(job_id, []).append(future)
            self._new.add(job_id)
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="jobsd-waiting", daemon=True
                )
                self._thread.start()
        self.wake()
        return future

    def remove(self, job_id: int, future: Wait) -> None:
        """Wait for it no longer."""
        with self._lock:
            left = self._waits.get(job_id, [])
            if future in left:
                left.remove(future)
            if not left and self._waits.pop(job_id, None) is not None:
                self._old.add(job_id)

    def end(self) -> None:
        """Close the connection. Called when there are no waiters."""
        self._ending = True
        self.wake()
        if (thread := self._thread) is not None and self.pid == os.getpid():
            thread.join(END_S)

    def wake(self) -> None:
        """Let the thread look again now."""
        with contextlib.suppress(BlockingIOError):
            os.write(self._writer, b"w")

    # The thread.

    def _run(self) -> None:
        session = Session(self.target, "jobsd waiting", listen=True, topic="done")
        named: set[str] = set()
        idle_at = monotonic()
        while True:
            rest_s = AGAIN_S
            try:
                self._register(session)
                asked = self._asked(named)
                found = ends(session, asked) if asked else []
                self.watches.read(session, {end.id for end in found if end.state})
                self._settle(found)
                for end in self._unread.read(session, self._waits):
                    self._report(end)
                if named := set(session.notifications()):
                    continue
                rest_s = 0.0 if self._unread else self.watches.rest_s(self._rest_s())
            except OUTAGES:
                session.close()
                self._forget()
            except psycopg.Error as error:
                session.close()
                self._fail(error)
            now = monotonic()
            idle_at = now if self._waits else idle_at
            if self._ending or (now - idle_at >= LINGER_S and self._end()):
                session.close()
                return
            self._rest(session, rest_s)

    def _asked(self, named: set[str]) -> list[int]:
        """Return the jobs to read: those of notifications, and those whose poll is due.

        The end of one job causes no reads of others, whatever their number. Jobs that wait for
        long are read together, once a second.
        """
        now = monotonic()
        due = {job_id: when for job_id, when in self._due.items() if job_id in self._waits}
        asked = [each for each, (at, _) in due.items() if at <= now or str(each) in named]
        for job_id in asked:
            pause_s = due[job_id][1]
            due[job_id] = (now // pause_s + 1) * pause_s, min(POLL_MAX_S, 2 * pause_s)
        self._due = due
        return asked

    def _rest_s(self) -> float:
        if not self._waits:
            return LINGER_S
        first = min((at for at, _ in self._due.values()), default=0.0)
        return max(0.0, first - monotonic())

    def _register(self, session: Session) -> None:
        """Register new waits, and remove the ended ones."""
        with self._lock:
            new, self._new = self._new, set()
            old, self._old = self._old - self._waits.keys(), set()
        try:
            for name, ids in (("register", new), ("deregister", old)):
                ordered = sorted(ids)
                for at in range(0, len(ordered), IDS_MAX):
                    some = ordered[at : at + IDS_MAX]
                    session.fetch(STATEMENTS[name], {"ids": some, "waiter": self._waiter})
        except BaseException:
            with self._lock:
                self._new |= new & self._waits.keys()
                self._old |= old
            raise
        self._due.update(dict.fromkeys(new, (0.0, POLL_MIN_S)))

    def _settle(self, found: list[End]) -> None:
        for end in found:
            self._turn_away(end)
            if end.state is None:
                self._seen.add(end.id)
                continue
            if end.unread:
                self._unread.add(end)
                self._due.pop(end.id, None)
            else:
                self._report(end)

    def _turn_away(self, end: End) -> None:
        """End the waits for an earlier job of this id: it is gone."""
        with self._lock:
            waits = self._waits.get(end.id, [])
            others = [each for each in waits if not each.means(end)]
            if others and len(others) == len(waits):
                del self._waits[end.id]
                self._old.add(end.id)
            elif others:
                self._waits[end.id] = [each for each in waits if each not in others]
        for each in others:
            _set(each, JobNotFoundError(end.id, other=True))

    def _report(self, end: End) -> None:
        """Give the end of a job to the threads that wait for it."""
        self._turn_away(end)
        with self._lock:
            futures = self._waits.pop(end.id, [])
            self._old.add(end.id)
        known = end.state != "gone" or end.id in self._seen
        self._seen.discard(end.id)
        for future in futures:
            _set(future, end if known else JobNotFoundError(end.id))

    def _fail(self, error: BaseException) -> None:
        with self._lock:
            waits, self._waits = self._waits, {}
        for future in (each for futures in waits.values() for each in futures):
            _set(future, error)

    def _forget(self) -> None:
        """Register all waits again: the connection is gone, and maybe its registrations."""
        with self._lock:
            self._new.update(self._waits)

    def _end(self) -> bool:
        with self._lock:
            if self._waits:
                return False
            self._thread = None
            return True

    def _rest(self, session: Session, rest_s: float) -> None:
        listener = session.fileno()
        sockets = [self._reader] if listener is None else [self._reader, listener]
        # Not `select`, which takes no number from 1024 on: a server may have as many open.
        poller = select.poll()
        for each in sockets:
            poller.register(each, select.POLLIN)
        with contextlib.suppress(OSError):
            poller.poll(rest_s * 1000)
        with contextlib.suppress(BlockingIOError):
            os.read(self._reader, 4096)


_waiting: dict[Target, Waiting] = {}
_lock = threading.Lock()


def wait(handle: draft.EnqueuedJob, timeout: draft.Timeout) -> End:
    """Return how a job has ended, once it has.

    Raises:
        TimeoutError: when it has not in time.
        JobNotFoundError: when it is not there, or another job has its id by now.
        Error: when it was not stored, or not yet.
    """
    job_id, seconds = _checked(handle, timeout)
    if backend.active is not None:
        return _meant(handle, backend.active.end_of(job_id))
    with _begun(job_id, handle) as (_, begun):
        try:
            return begun.result(seconds)
        except TimeoutError:
            raise TimeoutError(f"job {job_id} has not ended within {seconds:g} s") from None


async def await_(handle: draft.EnqueuedJob, timeout: draft.Timeout) -> End:  # noqa: ASYNC109 - of our own
    """Return how a job has ended, once it has; without a thread of the caller's."""
    job_id, seconds = _checked(handle, timeout)
    if backend.active is not None:
        return _meant(handle, backend.active.end_of(job_id))
    with _begun(job_id, handle) as (_, begun):
        try:
            return await asyncio.wait_for(asyncio.wrap_future(begun), seconds)
        except TimeoutError:
            raise TimeoutError(f"job {job_id} has not ended within {seconds:g} s") from None


async def stream(handle: draft.EnqueuedJob) -> AsyncGenerator[JobProgress, None]:
    """Yield each progress of a job that was read, and at last how it has ended.

    Raises:
        JobNotFoundError: when it is not there, or another job has its id by now.
        Error: when it was not stored, or not yet.
    """
    job_id, _ = _checked(handle, None)
    if backend.active is not None:
        end = _meant(handle, backend.active.end_of(job_id))
        yield JobProgress(job_id, end.state, None)
        return
    with _begun(job_id, handle) as (waiting, begun):
        watch = Watch(begun.means)
        begun.add_done_callback(lambda _: watch.wake())
        waiting.watches.add(job_id, watch)
        waiting.wake()
        yielded = None
        try:
            while not begun.done():
                await watch.changed.wait()
                watch.changed.clear()
                if watch.seen != yielded and not begun.done():
                    yielded = watch.seen
                    yield JobProgress(job_id, None, yielded)
            yield JobProgress(job_id, begun.result().state, watch.seen)
        finally:
            waiting.watches.remove(job_id, watch)


@contextlib.contextmanager
def _begun(job_id: int, handle: draft.EnqueuedJob) -> Generator[tuple[Waiting, Wait]]:
    """Wait for the end of a job during a block; its handle keeps which job was seen."""
    created_at = handle.created_at
    waiting = _for_target()
    begun = waiting.add(job_id, None if created_at is None else microseconds_of(created_at))
    try:
        yield waiting, begun
    finally:
        waiting.remove(job_id, begun)
        if begun.created_us is not None:
            handle.is_of(moment_of(begun.created_us))


def _meant(handle: draft.EnqueuedJob, end: End) -> End:
    if end.created_us is not None and not handle.is_of(moment_of(end.created_us)):
        raise JobNotFoundError(end.id, other=True)
    return end


def _checked(handle: draft.EnqueuedJob, timeout: draft.Timeout) -> tuple[int, float | None]:
    seconds = None if timeout is None else time_limits.duration_s("timeout", timeout)
    if handle.id is None:
        why = "it was discarded" if handle.state == "discarded" else "it is not stored yet"
        raise Error(f"there is no job to wait for: {why}")
    if running_job.get() is not None:
        warnings.warn(
            "a job waits for another job and keeps its thread: when as many jobs wait as there"
            " are threads, none of them can continue",
            RuntimeWarning,
            stacklevel=4,
        )
    return handle.id, seconds


def _for_target() -> Waiting:
    target = client.default_client().target
    with _lock:
        found = _waiting.get(target)
        if found is None or found.pid != os.getpid():
            # In a child of a fork the thread is the parent's, and so is its connection.
            found = _waiting[target] = Waiting(target)
        return found


@atexit.register
def end_all() -> None:
    """Close the connections of all waits; new waits get new ones."""
    with _lock:
        ended = [*_waiting.values()]
        _waiting.clear()
    for each in ended:
        each.end()


def _renew_lock() -> None:
    global _lock  # noqa: PLW0603 - another thread may have held it at the fork
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_renew_lock)


def _set(future: Future[End], what: End | BaseException) -> None:
    """Finish a future; a cancelled one stays so."""
    if not future.set_running_or_notify_cancel():
        return
    if isinstance(what, BaseException):
        future.set_exception(what)
    else:
        future.set_result(what)
