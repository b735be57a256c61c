"""Sets a job aside whose arguments do not fit the function as this process knows it.

In a rolling deploy a worker meets jobs of the other deploy. If the signature was changed, no
line of such a job can run here, and another worker may run it. So it is scheduled anew, a few
seconds ahead, as if nobody had claimed it. The row of the job says when that happened first:
once that is too long ago, the job is called all the same, to fail as what it is.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from jobsd.errors import ArgumentError
from jobsd.jobs.claimed_job import ClaimedJob
from jobsd.jobs.registry import Definition

WAIT_S = 5.0
"""How long a job is set aside for at a time."""


class _Patience:
    """For how long jobs of this process are set aside, from the first time."""

    seconds = 0.0


_PATIENCE = _Patience()


def be_patient(seconds: float) -> None:
    """Say for how long jobs are set aside from now on; with 0 none is."""
    _PATIENCE.seconds = seconds


class MisfitError(ArgumentError):
    """The arguments of a job do not fit: it is set aside."""


def check(
    job: ClaimedJob, definition: Definition, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> None:
    """Return when the job is to be called.

    Raises:
        MisfitError: when it is to be set aside.
    """
    if (job.set_aside_s or 0.0) >= _PATIENCE.seconds:
        return
    try:
        definition.require(args, kwargs)
    except ArgumentError as error:
        raise MisfitError(str(error)) from None
