"""One job for operators: its state, its errors, and the jobs ahead of it.

Reads only.
"""

import contextlib
import operator
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from jobsd.arguments.json_kinds import is_list, is_object
from jobsd.database.connection import Session, Statements
from jobsd.errors import Error, JobNotFoundError, NotFoundError
from jobsd.jobs.draft import ID_MAX, EnqueuedJob, JobOrId

STATEMENTS = Statements("jobsd.acts", "inspect.sql")

FILTERED = "[FILTERED]"


class JobRow(NamedTuple):
    """One job; `state` is one of `states.STATES`: "lost" when no table has it.

    `error` has type and message of the error of a failed job. The fields after it are of a
    claimed one: the time of its claim and its process; a process without a row has no name.
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
    error: dict[str, Any] | None
    claimed_at: datetime | None
    process_id: int | None
    process: str | None
    pid: int | None
    hostname: str | None


_COLUMNS = len(JobRow._fields)


class Found(NamedTuple):
    """One job with the columns of its state's table: its position in the queue, its limit.

    A ready job that only some workers know has a `lane`. `reason` is a word for why it was
    discarded, if that is known; `expires_at` is its time of expiry; `cancelled`: it has been
    asked to stop. `timeout_s` and `kill_after_s` are its time limit, as its workers have
    published it.
    `set_aside_at` is when its arguments first did not fit, if it still waits.
    """

    job: JobRow
    position: int | None
    concurrency_key: str | None
    concurrency_limit: int | None
    lane: str | None
    progress: dict[str, Any] | None = None
    reason: str | None = None
    expires_at: datetime | None = None
    cancelled: bool = False
    timeout_s: float | None = None
    kill_after_s: float | None = None
    set_aside_at: datetime | None = None
    tags: list[str] | None = None


class Attempt(NamedTuple):
    """One attempt that failed; `error` has type, message and stack."""

    attempt: int
    process: str | None
    started_at: datetime | None
    ended_at: datetime
    error: dict[str, Any]


class AttemptLog(NamedTuple):
    """The printed and logged lines of one attempt, and the time of its start."""

    attempt: int
    process: str | None
    started_at: datetime
    text: str


class Kept(NamedTuple):
    """The return value of a job as JSON text, and the process that performed it."""

    text: str | None
    process: str | None


class Failure(NamedTuple):
    """A job that has failed for good."""

    id: int
    class_name: str
    queue_name: str
    attempts: int
    failed_at: datetime
    error: dict[str, Any]


class Holder(NamedTuple):
    """A job that holds a slot; `state` is ready, claimed, or a word for neither."""

    id: int
    state: str


AHEAD_MAX = 100_000
"""The maximum to which jobs ahead of a job are counted; one more means "or more"."""


def check_id(value: Any) -> int:  # noqa: ANN401 - any integer, of other libraries too
    """Return the id of a job, given as such or as the job that was enqueued.

    Raises:
        Error: with the definition of an id; or if the job was not stored.
    """
    if isinstance(value, EnqueuedJob):
        if value.id is None:
            raise Error(f"the job has no id: it is {value.state}")
        return value.id
    # A bool is an int too, but never an intended id.
    if not isinstance(value, bool):
        with contextlib.suppress(TypeError):
            return operator.index(value)
    raise Error(
        f"{value!r:.60} is not the id of a job: a whole number, like `job.enqueue(…).id`"
    )


def find(session: Session, job_id: int) -> Found:
    """Return one job.

    Raises:
        NotFoundError: when no job has this id.
    """
    known = 0 < job_id <= ID_MAX
    rows = session.fetch(STATEMENTS["find"], {"id": job_id}) if known else []
    if not rows:
        raise NotFoundError(f"there is no job {job_id}")
    row = rows[0]
    return Found(JobRow(*row[:_COLUMNS]), *row[_COLUMNS:])


def require_same(session: Session, job: JobOrId) -> None:
    """Check that the id of a job that was enqueued is still its own: the first look takes it.

    Raises:
        JobNotFoundError: when another job has the id by now.
        NotFoundError: when no job has it.
    """
    if isinstance(job, EnqueuedJob):
        job_id = check_id(job)
        if not job.is_of(find(session, job_id).job.created_at):
            raise JobNotFoundError(job_id, other=True)


def attempts(session: Session, job_id: int) -> list[Attempt]:
    """Return the failed attempts of a job, the first one first."""
    return [Attempt(*row) for row in session.fetch(STATEMENTS["attempts"], {"id": job_id})]


def logs(session: Session, job_id: int, limit: int = 100) -> list[AttemptLog]:
    """Return the lines of the last attempts of a job, if they are kept, in order."""
    parameters = {"id": job_id, "limit": limit}
    return [AttemptLog(*row) for row in session.fetch(STATEMENTS["logs"], parameters)]


def kept(session: Session, job_id: int) -> Kept | None:
    """Return the result of a job; None if it is not kept."""
    rows = session.fetch(STATEMENTS["kept"], {"id": job_id})
    return Kept(*rows[0]) if rows else None


def failures(session: Session, limit: int = 5) -> list[Failure]:
    """Return the jobs that have failed for good, the highest ids first."""
    return [Failure(*row) for row in session.fetch(STATEMENTS["failures"], {"limit": limit})]


def ahead(session: Session, found: Found) -> int:
    """Return the number of ready jobs of its queue ahead of a ready job."""
    parameters = {
        "queue_name": found.job.queue_name,
        "priority": found.job.priority,
        "position": found.position,
        "lane": found.lane,
        "most": AHEAD_MAX + 1,
    }
    return int(session.fetch(STATEMENTS["ahead"], parameters)[0][0])


def elsewhere(session: Session, found: Found, names: Sequence[str] | None) -> int:
    """Return the number of ready jobs of other queues that a worker claims before a ready job.

    `names` are the queues that it prefers to the job's own; None: it prefers none.
    """
    parameters = {
        "queue_name": found.job.queue_name,
        "priority": found.job.priority,
        "position": found.position,
        "everything": names is None,
        "names": list(names or ()),
        "most": AHEAD_MAX + 1,
    }
    return int(session.fetch(STATEMENTS["elsewhere"], parameters)[0][0])


def holders(session: Session, key: str) -> list[Holder]:
    """Return the jobs that hold the slots of a key."""
    return [Holder(*row) for row in session.fetch(STATEMENTS["holders"], {"key": key})]


def blocked_before(session: Session, found: Found) -> int:
    """Return the number of waiting jobs of its key ahead of a waiting job."""
    parameters = {
        "key": found.concurrency_key,
        "priority": found.job.priority,
        "id": found.job.id,
        "most": AHEAD_MAX + 1,
    }
    return int(session.fetch(STATEMENTS["blocked_before"], parameters)[0][0])


def waits_for_slot(session: Session, found: Found) -> bool:
    """Return whether a job waits in the order of its key."""
    return bool(session.fetch(STATEMENTS["waits_for_slot"], {"id": found.job.id})[0][0])


def next_limit(session: Session, key: str) -> int | None:
    """Return the limit of the first waiting job of a key, if there is one."""
    rows = session.fetch(STATEMENTS["next_limit"], {"key": key})
    return int(rows[0][0]) if rows else None


def claimed(session: Session) -> dict[int, int]:
    """Return the number of claimed jobs of each process."""
    return {row[0]: row[1] for row in session.fetch(STATEMENTS["claimed"])}


def without(arguments: Any, names: Collection[str]) -> Any:  # noqa: ANN401 - any JSON
    """Return arguments as they may be shown: values with one of these names are left out."""
    if not names:
        return arguments
    if is_list(arguments):
        return [without(item, names) for item in arguments]
    if is_object(arguments):
        pairs = arguments.get("$dict")
        if is_list(pairs):
            arguments = {"$dict": [_pair_without(pair, names) for pair in pairs]}
        return {
            key: FILTERED if key in names else without(value, names)
            for key, value in arguments.items()
        }
    return arguments


def _pair_without(pair: Any, names: Collection[str]) -> Any:  # noqa: ANN401 - any JSON
    """Return a pair, of a dictionary that is stored as a list of pairs, as it may be shown."""
    named = is_list(pair) and pair and isinstance(pair[0], str) and pair[0] in names
    return [pair[0], FILTERED] if named else pair
