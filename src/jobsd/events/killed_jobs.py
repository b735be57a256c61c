"""Reports attempts whose process died, because these raise no exception.

The process that recovers the job emits its event. The tree's hooks process passes it on to the
integrations that report the errors of jobs.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from jobsd.errors import ProcessExitError, ProcessMissingError, ProcessPrunedError

from . import event_list, hooks

_KINDS = frozenset(
    kind.__name__ for kind in (ProcessExitError, ProcessMissingError, ProcessPrunedError)
)


class KilledAttempt(NamedTuple):
    """An attempt whose process has died, and whether the job is tried again."""

    job_id: int
    class_name: str
    queue_name: str
    attempt: int
    kind: str
    """The name of the error that is stored: `ProcessExitError`, `TimeLimitExceeded`, …"""
    message: str
    retried: bool


def on_killed(report: Callable[[KilledAttempt], object]) -> None:
    """Call a function for each attempt whose process has died; once for each, on one host."""

    def take(event: event_list.Event, facts: dict[str, Any]) -> None:
        given = facts.get("error")
        # In the worker itself it is an exception. An exception in a job was reported by the
        # job.
        error: dict[str, Any] = {} if isinstance(given, BaseException | None) else given
        if error.get("type") in _KINDS or "kill_after" in error:
            report(_killed(facts, error, retried=event.name == "job.retried"))

    hooks.on_event("job.failed", "job.retried")(take)


def _killed(facts: dict[str, Any], error: dict[str, Any], *, retried: bool) -> KilledAttempt:
    return KilledAttempt(
        facts["job_id"],
        facts["class_name"] or "",
        facts["queue_name"],
        facts["attempt"] or 0,
        error["type"],
        error["message"],
        retried,
    )
