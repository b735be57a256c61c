"""Reads jobs to show them: one job with its attempts and why it is not running, or a list."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jobsd.acts import inspect
from jobsd.acts.inspect import Attempt, Found, JobRow, Kept
from jobsd.database.connection import Session

if TYPE_CHECKING:
    from .shown_arguments import ShownArguments
    from .why import Reason


Row = dict[str, Any]


_ENDED = frozenset({"finished", "discarded"})


@dataclass(frozen=True, slots=True)
class Examined:
    """One job, its failed attempts, and every reason why it is not running."""

    found: Found
    attempts: list[Attempt]
    why: list[Reason]
    kept: Kept | None = None
    """Its return value and the process that performed it, if the job keeps results."""

    @property
    def error(self) -> dict[str, Any] | None:
        """The error of its last attempt, if that failed."""
        done = self.found.job.state == "finished"
        return self.attempts[-1].error if self.attempts and not done else None

    @property
    def reason(self) -> str | None:
        """The first word of `why`, or the reason why it was discarded."""
        if self.found.job.state != "discarded":
            return self.why[0].reason if self.why else None
        if self.found.reason is not None or self.error is None:
            return self.found.reason or "by hand"
        return f"{self.error.get('type')}: {self.error.get('message')}"

    @property
    def result(self) -> str | None:
        """JSON text of its return value, if the job keeps results."""
        return None if self.kept is None else self.kept.text

    def facts(self, shown: ShownArguments) -> Row:
        """Return the fields of the job itself."""
        facts = job_facts(self.found, shown)
        if self.kept is not None and self.kept.process is not None:
            facts["process"] = self.kept.process
        return facts

    def document(self, facts: Row) -> Row:
        """Return all fields for programs; `facts` are those of the job."""
        return {
            **facts,
            "errors": [attempt_facts(attempt) for attempt in self.attempts],
            "why": [reason.facts() for reason in self.why],
            "reason": self.reason,
            "error": self.error,
            "result": None if self.result is None else json.loads(self.result)[0],
            "progress": self.found.progress,
        }


def examine(session: Session, job_id: int, threshold_s: float) -> Examined:
    """Return one job with its attempts and reasons.

    Raises:
        NotFoundError: when no job has this id.
    """
    found = inspect.find(session, job_id)
    attempts = inspect.attempts(session, job_id)
    if found.job.state in _ENDED:
        return Examined(found, attempts, [], inspect.kept(session, job_id))
    # An ended job has no reasons; skip their imports and queries.
    from .why import why  # noqa: PLC0415

    return Examined(found, attempts, why(session, found, threshold_s))


def logs(session: Session, job_id: int, limit: int = 100) -> list[Row]:
    """Return the lines that its last attempts have printed and logged, if they are kept."""
    return [log._asdict() for log in inspect.logs(session, job_id, limit)]


def rows(jobs: Iterable[JobRow], shown: ShownArguments) -> list[Row]:
    """Return jobs of a list, with their arguments as they may be shown."""
    found = [job._asdict() for job in jobs]
    return [
        {**job, "arguments": shown.of(job["class_name"], job["arguments"])} for job in found
    ]


def job_facts(found: Found, shown: ShownArguments) -> Row:
    """Return the fields of one job, without its errors."""
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
    """Return the fields of some jobs only: limits, tags, expiry, its claim."""
    more: dict[str, Any] = {}
    if found.concurrency_key is not None:
        more |= {
            "concurrency_key": found.concurrency_key,
            "concurrency_limit": found.concurrency_limit,
        }
    if found.tags is not None:
        more["tags"] = found.tags
    if found.expires_at is not None:
        more["expires_at"] = found.expires_at
    if found.timeout_s is not None and found.job.state != "failed":
        more |= {"timeout": found.timeout_s, "kill_after": found.kill_after_s}
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
