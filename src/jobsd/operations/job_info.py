"""One job for programs: the fields of `show --json` as attributes."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from jobsd import text
from jobsd.acts import inspect
from jobsd.database.connection import Session
from jobsd.enqueueing import backend, client
from jobsd.errors import NotFoundError
from jobsd.jobs.draft import EnqueuedJob, JobOrId
from jobsd.states import results

from . import jobs
from .shown_arguments import ShownArguments

ALIVE_S = 60.0
"""After this many seconds without a heartbeat a process counts as dead here, for `why`."""

_UNFILTERED = ShownArguments((), lambda _: None)
"""Nothing is redacted: the program can read the arguments anyway."""


@dataclass(frozen=True, slots=True)
class JobInfo:
    """A job. `arguments` are as they are stored, `result` is its return value.

    `error` is that of its last attempt (`type`, `message`, `stack`), `errors` are those of all.
    `why` gives the reasons why it is not running: it is empty when it runs or has ended.
    `reason` is the first word of `why`; of a discarded job: "expired", "conflict", its error,
    or "by hand". `details` has the fields of some jobs only: limits, the time of expiry, and
    the process that has claimed it, or has performed it if its result is kept.
    """

    id: int
    class_name: str
    queue_name: str
    priority: int
    state: str
    arguments: Any
    attempts: int
    max_attempts: int
    created_at: datetime
    scheduled_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    reason: str | None
    error: dict[str, Any] | None
    result: Any
    progress: dict[str, Any] | None
    errors: list[dict[str, Any]]
    why: list[dict[str, Any]]
    details: dict[str, Any]

    def __repr__(self) -> str:
        return text.facts_of(
            self,
            id=self.id,
            class_name=self.class_name,
            queue_name=self.queue_name,
            state=self.state,
            attempts=self.attempts,
            reason=self.reason,
        )


def find(job: JobOrId, *, session: Session | None = None) -> JobInfo | None:
    """Return a job, given by its id or as it was enqueued; None when there is none.

    Raises:
        Error: for an invalid id, or a job that was not stored.
    """
    known = inspect.check_id(job)
    if backend.active is not None:
        examined: jobs.Examined | None = backend.active.examine(known)
        return None if examined is None else _of(job, _info(examined))
    if session is not None:
        return _find(session, job)
    if backend.framework is not None and (seen := backend.framework.driver_of_test()):
        return _find(seen, job)
    with client.default_client().session() as lent:
        return _find(lent, job)


async def afind(job: JobOrId) -> JobInfo | None:
    """Call `find` in a thread, without blocking the event loop."""
    return await asyncio.to_thread(find, job)


def _find(session: Session, job: JobOrId) -> JobInfo | None:
    try:
        return _of(job, _info(jobs.examine(session, inspect.check_id(job), ALIVE_S)))
    except NotFoundError:
        return None


def _of(job: JobOrId, info: JobInfo) -> JobInfo | None:
    """Return the job, unless it is another one with the same id."""
    is_other = isinstance(job, EnqueuedJob) and not job.is_of(info.created_at)
    return None if is_other else info


def _info(seen: jobs.Examined) -> JobInfo:
    document = seen.document(seen.facts(_UNFILTERED))
    document["result"] = results.value(seen.result)
    names = JobInfo.__dataclass_fields__.keys() - {"details"}
    own = {name: document.pop(name) for name in names}
    return JobInfo(**own, details=document)
