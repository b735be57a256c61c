"""One reason that keeps a job from running, and what is looked at to find them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from jobsd.jobs.ready import Selection

if TYPE_CHECKING:
    from jobsd.database.connection import Session
    from jobsd.jobs.inspect import Found
    from jobsd.processes.registry import ProcessRow


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason: its name for programs, a sentence for people, what it depends on."""

    reason: str
    sentence: str
    details: dict[str, Any] = field(default_factory=dict[str, Any])

    def facts(self) -> dict[str, Any]:
        """Return what a program is told."""
        return {"reason": self.reason, **self.details}


@dataclass(frozen=True, slots=True)
class Sight:
    """A job, all processes of the table, and those of them that live."""

    session: Session
    found: Found
    rows: list[ProcessRow]
    alive: list[ProcessRow]

    @property
    def queue(self) -> str:
        """The queue of the job."""
        return self.found.job.queue_name

    @property
    def has_dispatcher(self) -> bool:
        """Whether any dispatcher lives."""
        return any(row.kind == "dispatcher" for row in self.alive)

    @property
    def workers(self) -> list[ProcessRow]:
        """The living workers that take from the job's queue."""
        return [
            row
            for row in self.alive
            if row.kind == "worker" and selection(row).matches(self.queue)
        ]


def selection(worker: ProcessRow) -> Selection:
    """Return the queues that a worker takes from, as its row says."""
    return Selection(tuple(str(worker.metadata.get("queues", "*")).split(",")))
