"""The job that a thread runs, so that its id is in each line and event of the job."""

from contextvars import ContextVar
from typing import Protocol


class Bound(Protocol):
    """The facts of a running job; `jobs.current` has them."""

    @property
    def id(self) -> int: ...  # noqa: D102
    @property
    def class_name(self) -> str: ...  # noqa: D102
    @property
    def queue_name(self) -> str: ...  # noqa: D102
    @property
    def attempt(self) -> int: ...  # noqa: D102


running_job: ContextVar[Bound | None] = ContextVar("jobsd_running_job", default=None)
"""The job that runs in this thread, or task. Set by `jobs.current.running`."""


def bound_job() -> dict[str, object]:
    """Return the facts of the job that runs here, none outside of a job."""
    job = running_job.get()
    # A job that is performed without the queue has no id.
    if job is None or not job.id:
        return {}
    return {
        "job_id": job.id,
        "class_name": job.class_name,
        "queue_name": job.queue_name,
        "attempt": job.attempt,
    }
