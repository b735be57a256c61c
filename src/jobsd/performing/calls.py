"""Calls the user's function so that an interrupt can hit only that function, not our code.

If another thread sends an exception, Python raises it at the end of the call that this thread
is in, or at its next call. So it may come after the user's code has ended. Invariant: between
that end and `_checkpoint`, nothing is called here, and an exception raised there was sent to
the job that has ended.
"""

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

from jobsd.errors import InterruptError
from jobsd.jobs import middleware, registry
from jobsd.jobs.claimed_job import ClaimedJob
from jobsd.jobs.interrupts import NEVER, Interruptible
from jobsd.jobs.middleware import JOBS


def call(
    thread: Interruptible,
    job: ClaimedJob,
    definition: registry.Definition,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
) -> Any:  # noqa: ANN401 - the user's own
    """Perform the job and return its result; also raise an exception sent from outside.

    If the exception comes after the function has returned, it is dropped: the job has
    succeeded. The job fails if its result is needed and the exception has lost it.
    """
    result: Any = _LOST
    thread.job = job
    try:
        if JOBS.functions:
            result = middleware.perform(definition, args, kwargs)
        else:  # Without middleware: saves one call per job.
            result = definition.perform(*args, **kwargs)
        thread.job, thread.due = None, NEVER
    except BaseException as error:
        thread.job, thread.due = None, NEVER
        if thread.interrupt is None:
            raise
        try:  # noqa: SIM105 - would be called itself
            _checkpoint()
        except InterruptError:
            pass
        thread.interrupt = None
        lost = result is _LOST and definition.result_ttl_s is not None
        if lost or not isinstance(error, InterruptError) or not _is_late(error.__traceback__):
            raise
        return result
    if thread.interrupt is not None:
        try:  # noqa: SIM105 - would be called itself
            _checkpoint()
        except InterruptError:
            pass
        thread.interrupt = None
    return result


def _is_late(trace: TracebackType | None) -> bool:
    """Return whether an exception was raised outside the user's code, which has ended."""
    while trace is not None and trace.tb_frame.f_code in _OURS:
        trace = trace.tb_next
    return trace is None


def _checkpoint() -> None:
    """Let a pending exception of this thread be raised: this is its last chance."""


_LOST = object()
CODE = call.__code__
"""Identifies frames of `call`."""
_OURS = frozenset((CODE, middleware.perform.__code__))
