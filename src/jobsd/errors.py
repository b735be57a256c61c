"""The errors that a caller may want to catch; each has the facts of its sentence."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from pathlib import Path


class Error(Exception):
    """The base of all errors of jobsd."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault of a configuration.

    `source` is FILE:LINE:COLUMN, or the name of a flag or variable; `excerpt` holds the line
    and the caret below it, or nothing.
    """

    message: str
    source: str = ""
    excerpt: str = ""
    hint: str = ""


class ConfigurationError(Error):
    """The configuration has faults; `faults` holds all of them. Exit status 78."""

    def __init__(self, faults: tuple[Fault, ...]) -> None:
        self.faults = faults
        super().__init__(
            "; ".join(
                f"{fault.message} (at {fault.source})" if fault.source else fault.message
                for fault in faults
            ),
        )


class NoDatabaseError(ConfigurationError):
    """No database is configured, and an embedded one may not be used, or not be made."""


class DatabaseUnreachableError(Error):
    """The database cannot be reached. Exit status 4."""


class SchemaError(Error):
    """The tables are missing, outdated, or closed to this role. Exit status 78.

    `remedy` is the command that helps, if one does.
    """

    def __init__(self, message: str, remedy: str = "db migrate") -> None:
        self.remedy = remedy
        super().__init__(message)


class EmbeddedServerError(Error):
    """The embedded PostgreSQL cannot be started, stopped or used.

    `where` is a directory or a file; `log` holds the last lines that the server wrote.
    """

    def __init__(
        self,
        what: str,
        where: Path | None = None,
        expected: str = "",
        log: tuple[str, ...] = (),
    ) -> None:
        self.what = what
        self.where = where
        self.expected = expected
        self.log = log
        found = f" (in {where})" if where else ""
        should = f"; expected {expected}" if expected else ""
        super().__init__("\n  ".join((f"{what}{found}{should}", *log)))


class NotFoundError(Error):
    """The job, task, queue or process does not exist. Exit status 5."""


class JobNotFoundError(NotFoundError):
    """The job that was waited for (`id`) does not exist, or another job has its id by now."""

    def __init__(self, job_id: int, *, other: bool = False) -> None:
        self.id = job_id
        super().__init__(
            f"job {job_id} is another job than the one that was enqueued: the database has gone"
            " back in time, and has given its id again"
            if other
            else f"there is no job {job_id}: its transaction is still open or was rolled back,"
            " or it has ended and was not kept"
        )


class RefusedError(Error):
    """The request was refused; the message has the reason. Exit status 6."""


class ArgumentError(Error):
    """A job's arguments cannot be stored or read back, or its function does not take them."""


class ArgumentGoneError(ArgumentError):
    """An object to which an argument of a job refers is gone; `discard_on` may name this."""

    def __init__(self, what: str) -> None:
        self.what = what
        super().__init__(f"{what}, to which an argument refers, is gone")


class EnqueueError(Error):
    """A job could not be enqueued, and nothing was stored.

    If `known` is False, the connection was lost before the server answered, and the job
    may have been enqueued. Look for it before you enqueue it again.
    """

    def __init__(self, message: str, *, known: bool = True) -> None:
        self.known = known
        super().__init__(message)


class LimitError(EnqueueError):
    """The key of a job's concurrency limit is invalid; nothing was enqueued."""


class UniqueError(EnqueueError):
    """The key that makes a job unique is invalid; nothing was enqueued."""


class DuplicateError(EnqueueError):
    """Another job (`job_id`) has this unique key; nothing was enqueued."""

    def __init__(self, class_name: str, unique_key: str, job_id: int) -> None:
        self.job_id = job_id
        self.unique_key = unique_key
        super().__init__(
            f"{class_name} was not enqueued: job {job_id} has its unique key {unique_key!r}"
        )


class AfterCommitError(EnqueueError):
    """A transaction was committed, but its `after_commit` jobs were not enqueued.

    `jobs` holds them, for `enqueue_many`. If `known` is False, the connection was lost before
    the server could report whether it had committed: look for them first.
    """

    def __init__(
        self, jobs: Iterable[Any], reason: str, *, doubt: Literal["", "commit", "jobs"] = ""
    ) -> None:
        self.jobs = tuple(jobs)
        self.reason = reason
        count = len(self.jobs)
        messages = {
            "": f"the transaction was committed, but its {count} jobs were not enqueued",
            "commit": "it is not known whether the transaction was committed, and its"
            f" {count} jobs were not enqueued",
            "jobs": "the transaction was committed, and it is not known whether its"
            f" {count} jobs were enqueued",
        }
        super().__init__(f"{messages[doubt]}: {reason}", known=not doubt)


class UnknownJobError(Error):
    """No job is registered under this name in the process that claimed it."""

    def __init__(self, name: str, hint: str = "") -> None:
        self.name = name
        super().__init__(f"no job is registered as {name!r}{hint}")


class InterruptError(BaseException):
    """A job was interrupted; no `Exception`, so that `except Exception` does not swallow it."""


class TimeLimitExceeded(InterruptError):  # noqa: N818 - named by its event
    """The job has run for longer than its `timeout`; raised in the job itself."""

    limit_s: float | None = None

    def __init__(self) -> None:
        super().__init__("the job has run for longer than its time limit")

    def say_limit(self, limit_s: float | None) -> None:
        """Add the limit to the message; the exception is raised without it."""
        if limit_s is not None:
            self.limit_s = limit_s
            self.args = (f"{self.args[0]} of {limit_s:g} s",)


class Cancelled(InterruptError):  # noqa: N818 - named by its event
    """The job was cancelled; raised in the job itself, which is discarded by that."""

    def __init__(self) -> None:
        super().__init__("the job was cancelled")


class ProcessError(Error):
    """A job's attempt ended because of its process, not because of the job."""


class ProcessExitError(ProcessError):
    """The process died while the job ran in it."""


class ProcessPrunedError(ProcessError):
    """The heartbeat of the process stopped for too long while it had the job."""


class ProcessMissingError(ProcessError):
    """The job was claimed by a process that has no row any more."""


class CompletionError(Error):
    """A job (`id`) could not record its own end, or its record was rolled back."""

    def __init__(self, job_id: int, why: str) -> None:
        self.id = job_id
        super().__init__(f"job {job_id} is not completed: {why}")


class ResultError(Error):
    """The result of a job of class `class_name` can't be kept, or can't be read."""

    def __init__(self, class_name: str, why: str, *, verb: str = "kept") -> None:
        self.class_name = class_name
        super().__init__(f"the result of {class_name} can't be {verb}: {why}")


class JobFailedError(Error):
    """The job that was waited for has failed: `id`, and the `type`, `message` of its error."""

    def __init__(self, job_id: int, error: dict[str, Any]) -> None:
        self.id = job_id
        self.type = str(error.get("type", "Exception"))
        self.message = str(error.get("message", ""))
        self.stack = str(error.get("stack", ""))
        super().__init__(f"job {job_id} has failed: {self.type}: {self.message}")


class JobDiscardedError(Error):
    """The job that was waited for (`id`) was discarded."""

    def __init__(self, job_id: int) -> None:
        self.id = job_id
        super().__init__(f"job {job_id} was discarded")


class ThreadError(Error):
    """A thread or loop of jobsd has failed in another process; `type` names the error."""

    def __init__(self, type_name: str, message: str) -> None:
        self.type = type_name
        super().__init__(f"{type_name}: {message}")
