"""Calls the user's function so that only it, and no code of ours, can be interrupted.

If another thread sends an exception, Python raises it at the end of the call that this thread
is in, or at its next call. So it may come when the author's code has ended. Invariant: between
that end and `_checkpoint`, nothing is called here, and an exception that comes there was meant
for the job that has ended.
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
) -> Any:  # noqa: ANN401 - the author's own
    """Perform the job and return its result; what is raised in it from outside passes too.

    An exception that comes too late, when the function has returned, is dropped: the job has
    succeeded. It has not if its result is needed and was lost by this.
    """
    result: Any = _LOST
    thread.job = job
    try:
        if JOBS.functions:
            result = middleware.perform(definition, args, kwargs)
        else:  # Where nothing surrounds jobs, one call less for each.
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
    """Return whether an exception came in no code of the author's: that has ended."""
    while trace is not None and trace.tb_frame.f_code in _OURS:
        trace = trace.tb_next
    return trace is None


def _checkpoint() -> None:
    """Let an exception that was sent to this thread come: this is the last place for it."""


_LOST = object()
CODE = call.__code__
"""By which its frames are known."""
_OURS = frozenset((CODE, middleware.perform.__code__))
