"""Interrupts: an exception that is raised in a job which runs, from outside of it.

A job can be reached in the thread that runs it. It can shield a block against interrupts: they
come at the end of the shield then. Other threads that have the context of the job
(`asyncio.to_thread`) are never interrupted; they see the interrupt, and can shield the job.
"""

import threading
from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar
from typing import Any, NamedTuple

from jobsd.clock import monotonic
from jobsd.events.bound_job import running_job

NEVER = float("inf")


class Interrupt(NamedTuple):
    """The wish that a job ends: which one, and the class of the exception that it is to see."""

    job: Any
    kind: type[BaseException]


class Interruptible:
    """What runs one job at a time and can be interrupted in it.

    The performer writes `job`, `due` and `shields`, the interrupting thread `interrupt`, and
    both write `sent`: the interrupt that has come, or is about to. Shields of other threads
    are in `_abroad`.
    """

    __slots__ = (
        *("_limited", "due", "grace_s", "hard", "interrupt", "job", "sent", "shields"),
        *("task", "thread_id"),
    )

    def __init__(
        self,
        limited: Callable[[float, float], None] = lambda _, __: None,
        hard: Any = None,  # noqa: ANN401 - of a room above
        thread_id: int = 0,
    ) -> None:
        self._limited = limited
        self.thread_id = thread_id
        self.hard = hard
        """The row that shows other processes the job's deadline."""
        self.grace_s: float | None = None
        """The time from its deadline to the end of its process, if that is limited."""
        self.job: Any = None
        """The job whose user's code runs now."""
        self.due = NEVER
        """When its time is over (monotonic)."""
        self.task: Any = None
        """The task of an asynchronous job."""
        self.shields = 0
        self.interrupt: Interrupt | None = None
        self.sent: Interrupt | None = None

    def begin(self, limit_s: float) -> None:
        """Give the job that begins now `limit_s` seconds, and have its deadline checked."""
        self.due = due = monotonic() + limit_s
        self._limited(limit_s, due)

    def limit_again(self, case: object) -> bool:
        """Set the deadline of a job that begins with the case of the previous one.

        Jobs of one `case` have the same outcome: it is written once for many jobs.
        """
        hard = self.hard
        if hard is None:
            return True
        if hard.case != case:
            return False
        # Invariant: first this, by which the end of the job knows that there is a moment.
        self.grace_s = grace_s = hard.grace_s
        if not self.shields:
            hard.move(self.due + grace_s)
        return True

    def limit_hard(
        self, case: object, limit_s: float, grace_s: float, verdict: tuple[str, float]
    ) -> None:
        """Set the deadline and the outcome of a job whose case is not the previous one."""
        hard = self.hard
        # Invariant: before the row is written: a thread that writes it meanwhile, or an
        # interrupt of this function, takes it back.
        hard.grace_s, hard.case = grace_s, case
        try:
            hard.say(limit_s, grace_s, verdict, self.thread_id)
        except BaseException:
            hard.case = None
            raise
        self.limit_again(hard.case)

    def limit_forced(
        self,
        job: Any,  # noqa: ANN401 - as `hard` has it
        grace_s: float,
        verdict: tuple[str, float],
    ) -> None:
        """Move up the deadline of the running job. Called by another thread."""
        if self.hard is None:
            return
        self.grace_s = grace_s
        shielded = None
        # Repeat if the job has begun or ended a shield meanwhile.
        while shielded != (now_shielded := self.is_shielded):
            shielded = now_shielded
            at_s = 0.0 if shielded else monotonic() + grace_s
            self.hard.say(0.0, grace_s, verdict, self.thread_id, job, at_s)

    def limit_now(
        self,
        job: Any,  # noqa: ANN401 - as above
        stood_s: float,
        grace_s: float,
        verdict: tuple[str, float],
    ) -> None:
        """Set the deadline of the job to now: nothing runs beside it in its loop."""
        if self.hard is not None:
            self.grace_s = grace_s
            self.hard.say(-stood_s, grace_s, verdict, self.thread_id, job, monotonic())

    def unlimit(self) -> None:
        """Remove the deadline: the job has ended."""
        # Invariant: in this order, since an exception may come between the two.
        with _counting:
            self.hard.move(0)
            self.grace_s = None

    def shield(self) -> None:
        """Begin a shield: in the outermost one no limit counts."""
        self.shields += 1
        if self.shields == 1 and self.grace_s is not None:
            self._count(self.job)

    def unshield(self) -> None:
        """End a shield and raise the interrupt that came in it; the time to end starts here."""
        self.shields -= 1
        if not self.shields and self.grace_s is not None:
            self._count(self.job)
        self.deliver()

    @property
    def is_shielded(self) -> bool:
        """Whether the job that runs is in a shield, in whatever thread."""
        return bool(self.shields) or (bool(_abroad) and self.job in _abroad)

    def shield_abroad(self, job: object) -> None:
        """Begin a shield of a job in a thread that does not run it."""
        _abroad.append(job)
        self._count(job)

    def unshield_abroad(self, job: object) -> None:
        """End a shield of another thread. A thread is struck soon, a task by its loop."""
        _abroad.remove(job)
        self._count(job)
        if (task := self.task) is not None:
            with suppress(RuntimeError):  # the loop was closed: the process ends
                task.get_loop().call_soon_threadsafe(self._cancel_task)

    def _cancel_task(self) -> None:
        interrupt, task = self.interrupt, self.task
        if interrupt is None or task is None or self.is_shielded or self.sent is interrupt:
            return
        if interrupt.job is self.job:
            self.sent = interrupt
            task.cancel()

    def _count(self, job: object) -> None:
        """Start the time to end, if the job still runs: not in a shield."""
        with _counting:
            # Invariant: first this, then the job: it is that of the job, or of none.
            grace_s = self.grace_s
            if grace_s is None or self.job is not job:
                return
            now = monotonic()
            began = now if self.due == NEVER else max(now, self.due)
            self.hard.move(0 if self.is_shielded else began + grace_s)

    def enter(self) -> None:
        """Register this thread as the one that runs the jobs."""
        self.thread_id = threading.get_ident()
        register_here(lambda: self)

    def leave(self) -> None:
        """Unregister this thread: it runs no more jobs."""
        _here.find = None

    def deliver(self) -> None:
        """Raise the job's interrupt in it, unless it has come already."""
        interrupt = self.interrupt
        if interrupt is None or self.is_shielded or self.sent is interrupt:
            return
        if interrupt.job is self.job:
            self.sent = interrupt
            raise interrupt.kind


_counting = threading.Lock()
"""Held while the time to end is written, by any thread of the job."""

_abroad: list[object] = []
"""The jobs that are shielded in threads that don't run them, once for each shield."""

SEAT: ContextVar[Interruptible | None] = ContextVar("jobsd_seat", default=None)
"""What runs the job: its tasks, and threads that have its context, know it by this."""


class _Here(threading.local):
    find: Callable[[], Interruptible | None] | None = None


_here = _Here()
"""How a thread finds what runs a job in it. Not by its id: that of an ended one comes again."""


def register_here(find: Callable[[], Interruptible | None]) -> None:
    """Set the function that finds the performer of the job of this thread."""
    _here.find = find


def find_here() -> Interruptible | None:
    """Return what runs a job in this thread, None where an interrupt can't be raised here."""
    find = _here.find
    return None if find is None else find()


def interrupt_here() -> Interrupt | None:
    """Return what interrupts the job that this is called in, in whatever thread.

    Also for threads that don't run the job, and after the interrupt has ended it.
    """
    if (here := find_here()) is not None:
        return here.interrupt
    if (seat := SEAT.get()) is None:
        return None
    job = running_job.get()
    found = (each for each in (seat.interrupt, seat.sent) if each and each.job is job)
    return next(found, None)


def deliver() -> None:
    """Raise the interrupt that has waited for the end of code of ours, if there is one.

    Called at the end of functions that jobs call often: a job that calls only these is always
    interrupted there.
    """
    if (found := find_here()) is not None:
        found.deliver()


class Shield:
    """Keeps interrupts out of a block; an interrupt that came is raised at its end."""

    __slots__ = ("_abroad", "_found")

    def __enter__(self) -> None:
        self._found = find_here()
        self._abroad = None
        if self._found is not None:
            self._found.shield()
        elif (seat := SEAT.get()) is not None and (job := running_job.get()) is not None:
            self._abroad = seat, job
            seat.shield_abroad(job)

    def __exit__(self, *_: object) -> None:
        if self._found is not None:
            self._found.unshield()
        elif self._abroad is not None:
            seat, job = self._abroad
            seat.unshield_abroad(job)
