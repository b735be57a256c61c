"""One job of the queue in memory: the columns of its row, and its outcome."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from jobsd.arguments import arguments
from jobsd.jobs import registry
from jobsd.jobs.draft import Draft
from jobsd.states import results

ENDED = ("finished", "failed", "discarded")


class FailedAttempt(NamedTuple):
    """A failed attempt of a job, and its time."""

    number: int
    started_at: datetime | None
    ended_at: datetime


@dataclass(slots=True, eq=False)
class RecordedJob:
    """A job that was enqueued in a test.

    `state` is scheduled, ready, claimed (it runs), finished, failed or discarded. `errors` has
    the exception of each attempt that raised one. `scheduled_at` is when it is due, None for a
    job that was due at once.
    """

    id: int
    draft: Draft
    enqueued_at: datetime
    scheduled_at: datetime | None = None
    state: str = "ready"
    ended_at: datetime | None = None
    expires_at: datetime | None = None
    """From then on it is not started any more."""
    reason: str | None = None
    """Why it was discarded, unless the job did so itself: expired, conflict, cancelled."""
    cancelled: bool = False
    """Whether it was cancelled while it ran."""
    started_at: datetime | None = None
    """When its last attempt began."""
    attempts: int = 0
    errors: list[BaseException] = field(default_factory=list[BaseException])
    failed_attempts: list[FailedAttempt] = field(default_factory=list["FailedAttempt"])
    """The attempt of each of these errors."""
    position: int = 0
    """Its position among the ready jobs."""
    uncertain_s: float = 0.0
    """The uncertainty of the time of enqueue: a row has the time when its transaction began."""
    begun: bool = False
    """Whether it was ever claimed."""
    written: str | None = None
    """JSON text of its return value, if the job keeps results."""

    @property
    def class_name(self) -> str:
        """The registered name of the job."""
        return self.draft.class_name

    @property
    def queue_name(self) -> str:
        """The queue of the job."""
        return self.draft.queue_name

    @property
    def priority(self) -> int:
        """Its priority; smaller numbers run first."""
        return self.draft.priority

    @property
    def args(self) -> list[Any]:
        """Its positional arguments, as the job gets them."""
        return arguments.load(self.draft.arguments)[0]

    @property
    def kwargs(self) -> dict[str, Any]:
        """Its named arguments, as the job gets them."""
        return arguments.load(self.draft.arguments)[1]

    @property
    def arguments(self) -> dict[str, Any]:
        """All arguments by the names of their parameters, defaults among them."""
        return registry.get(self.class_name).named(*arguments.load(self.draft.arguments))

    @property
    def error(self) -> BaseException | None:
        """The error of its last failed attempt."""
        return self.errors[-1] if self.errors else None

    @property
    def result(self) -> Any:  # noqa: ANN401 - the user's own
        """Its return value, if the job keeps results (`result_ttl`)."""
        return results.value(self.written)

    def add_error(self, error: BaseException, now: datetime) -> None:
        """Record the error of its present attempt, which is counted already."""
        self.errors.append(error)
        self.failed_attempts.append(FailedAttempt(self.attempts, self.started_at, now))

    @property
    def has_ended(self) -> bool:
        """Whether its state is final."""
        return self.state in ENDED

    def __str__(self) -> str:
        args, kwargs = arguments.load(self.draft.arguments)
        given = [*map(repr, args), *(f"{name}={value!r}" for name, value in kwargs.items())]
        due = f", due {self.scheduled_at.isoformat()}" if self.scheduled_at else ""
        return (
            f"{self.class_name}({', '.join(given)}) on {self.queue_name!r}, {self.state}{due}"
        )

    def __repr__(self) -> str:
        return f"<job {self.id}: {self}>"
