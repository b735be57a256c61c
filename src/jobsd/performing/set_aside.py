"""Sets a job aside if its arguments do not fit the function that this process has loaded.

In a rolling deploy a worker meets jobs of the other version. If the signature has changed, no
line of the job can run here, but another worker may run it. So the job is scheduled again, a
few seconds ahead, as if it had not been claimed. The row of the job records when it was first
set aside: after the maximum time, the job is called anyway, and fails with its own error.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from jobsd.errors import ArgumentError
from jobsd.jobs.claimed_job import ClaimedJob
from jobsd.jobs.registry import Definition

WAIT_S = 5.0
"""Time until a job that was set aside is ready again."""


class Patience:
    """The time during which jobs of this process are set aside, from the first time on.

    The process's worker sets it; 0 sets none aside.
    """

    seconds = 0.0


class MisfitError(ArgumentError):
    """The arguments of a job do not fit: the job is set aside."""


def check(
    job: ClaimedJob, definition: Definition, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> None:
    """Check whether the job is to be called.

    Raises:
        MisfitError: if the job is to be set aside.
    """
    if (job.set_aside_s or 0.0) >= Patience.seconds:
        return
    try:
        definition.require(args, kwargs)
    except ArgumentError as error:
        raise MisfitError(str(error)) from None
