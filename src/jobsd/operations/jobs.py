"""Jobs as they are shown: one of them with its attempts and what keeps it, and lists."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from jobsd.jobs import inspect

from .why import Reason, why

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jobsd.database.connection import Session
    from jobsd.jobs.inspect import Attempt, Found, JobRow

    from .shown_arguments import ShownArguments

    Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Examined:
    """One job, its failed attempts, and every reason why it is not running."""

    found: Found
    attempts: list[Attempt]
    why: list[Reason]

    def facts(self, shown: ShownArguments) -> Row:
        """Return what there is to know of the job itself."""
        return job_facts(self.found, shown)

    def document(self, facts: Row) -> Row:
        """Return everything for programs; `facts` are those of the job."""
        return {
            **facts,
            "errors": [attempt_facts(attempt) for attempt in self.attempts],
            "why": [reason.facts() for reason in self.why],
        }


def examine(session: Session, job_id: int, threshold_s: float) -> Examined:
    """Read all that is known of one job.

    Raises:
        NotFoundError: when there is none of this id.
    """
    found = inspect.find(session, job_id)
    attempts = inspect.attempts(session, job_id)
    return Examined(found, attempts, why(session, found, threshold_s))


def rows(jobs: Iterable[JobRow], shown: ShownArguments) -> list[Row]:
    """Return jobs of a list, with their arguments as they may be shown."""
    found = [asdict(job) for job in jobs]
    return [
        {**job, "arguments": shown.of(job["class_name"], job["arguments"])} for job in found
    ]


def job_facts(found: Found, shown: ShownArguments) -> Row:
    """Return what there is to know of one job, but its errors."""
    job = found.job
    return {
        "id": job.id,
        "class_name": job.class_name,
        "queue_name": job.queue_name,
        "priority": job.priority,
        "state": job.state,
        "arguments": shown.of(job.class_name, job.arguments),
        "attempts": job.attempts,
        "max_attempts": job.max_attempts,
        "created_at": job.created_at,
        "scheduled_at": job.scheduled_at,
        "started_at": job.started_at,
        "finished_at": job.finished_at,
        **_more(found),
    }


def _more(found: Found) -> dict[str, Any]:
    """Return what only some jobs have: a limit, and who has claimed it since when."""
    more: dict[str, Any] = {}
    if found.concurrency_key is not None:
        more |= {
            "concurrency_key": found.concurrency_key,
            "concurrency_limit": found.concurrency_limit,
        }
    if found.job.state == "claimed":
        names = ("claimed_at", "process_id", "process", "pid", "hostname")
        more |= {name: getattr(found.job, name) for name in names}
    return more


def attempt_facts(attempt: Attempt) -> Row:
    """Return one failed attempt for programs."""
    return {
        "attempt": attempt.attempt,
        "process": attempt.process,
        "started_at": attempt.started_at,
        "ended_at": attempt.ended_at,
        **attempt.error,
    }
