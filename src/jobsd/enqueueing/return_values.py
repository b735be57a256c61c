"""The return value of a job that has ended, or the error that stands for it."""

from typing import Any

from jobsd.database.portions import LATE_MAX
from jobsd.errors import Error, JobDiscardedError, JobFailedError, ResultError
from jobsd.jobs import draft, registry
from jobsd.states.results import End


def require_result(handle: draft.EnqueuedJob) -> None:
    """Return when the job keeps a result, as far as is known here.

    Raises:
        Error: when it does not.
    """
    name = handle.class_name
    known = None if name is None else registry.find(name)
    if known is not None and known.result_ttl_s is None:
        raise Error(f"{name} keeps no result: give the job a result_ttl, such as '1h'")


def value_of(end: End) -> Any:  # noqa: ANN401 - the author's own
    """Return the result of a job that has ended.

    Raises:
        JobFailedError: when it has failed.
        JobDiscardedError: when it was discarded.
        ResultError: when its result can't be read in time.
        Error: when its result is not kept, or no longer.
    """
    if end.state == "failed":
        raise JobFailedError(end.id, end.error or {})
    if end.state == "discarded":
        raise JobDiscardedError(end.id)
    if end.unread:
        why = f"each of {LATE_MAX} statements that asked for it alone took too long"
        raise ResultError(f"job {end.id}", why, verb="read")
    if not end.kept:
        raise Error(f"the result of job {end.id} is not kept, or no longer: see result_ttl")
    return end.value
