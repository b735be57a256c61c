"""Django's TaskResult of a job."""

from __future__ import annotations

import builtins
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from jobsd.arguments import arguments

from .task_library import Status, base
from .task_library import json as django_json

if TYPE_CHECKING:
    from jobsd.operations.job_info import JobInfo

SUCCEEDED_IN = "worker"
"""The name of a successful attempt's worker, if no result is kept."""


def made(  # noqa: PLR0913 - the fields of one
    task: Any,  # noqa: ANN401 - Django's
    job_id: int | None,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    *,
    enqueued_at: datetime | None,
    started_at: datetime | None = None,
    worker_ids: Sequence[str] = (),
) -> Any:  # noqa: ANN401
    """Return the result of a waiting task, or, with a start, of a running one."""
    return base.TaskResult(
        task=task,
        id=str(job_id),
        status=Status.READY if started_at is None else Status.RUNNING,
        enqueued_at=enqueued_at,
        started_at=started_at,
        last_attempted_at=started_at,
        finished_at=None,
        args=list(args),
        kwargs=dict(kwargs),
        backend=task.backend,
        errors=[],
        worker_ids=list(worker_ids),
    )


def of_job(found: JobInfo, task: Any, queues: Collection[str]) -> Any:  # noqa: ANN401
    """Return the result of a job from its rows."""
    args, kwargs = arguments.load(json.dumps(found.arguments))
    result = base.TaskResult(
        task=_as_enqueued(task, found, queues),
        id=str(found.id),
        status=_status(found.state),
        enqueued_at=found.created_at,
        started_at=_first_start(found),
        last_attempted_at=_last_start(found),
        finished_at=found.finished_at or _failed_at(found),
        args=args,
        kwargs=kwargs,
        backend=task.backend,
        errors=[error(each["type"], each["stack"]) for each in found.errors],
        worker_ids=_worker_ids(found),
    )
    if result.status == Status.SUCCESSFUL:
        object.__setattr__(result, "_return_value", found.result)
    return result


def error(kind: str, stack: str) -> Any:  # noqa: ANN401 - Django's
    """Return an error of an attempt; Python's own and ours are stored by name only."""
    home = "builtins" if hasattr(builtins, kind) else "jobsd"
    path = kind if "." in kind else f"{home}.{kind}"
    return base.TaskError(exception_class_path=path, traceback=stack)


def succeed(result: Any, value: Any, at: datetime) -> Any:  # noqa: ANN401
    """Finish a result; return the value as Django would keep it.

    Raises:
        TypeError: when the value can't be JSON.
    """
    kept = django_json.normalize_json(value)
    object.__setattr__(result, "_return_value", kept)
    finish(result, Status.SUCCESSFUL, at)
    return kept


def finish(result: Any, status: Any, at: datetime) -> None:  # noqa: ANN401
    """Set the end of a task, and its time."""
    object.__setattr__(result, "status", status)
    object.__setattr__(result, "finished_at", at)


def _as_enqueued(task: Any, found: JobInfo, queues: Collection[str]) -> Any:  # noqa: ANN401
    """Return the task with the options of its enqueue, as Django takes them."""
    # A command may have moved it to another queue, or SQL may have set another priority.
    known = not queues or found.queue_name in queues
    most, least = base.TASK_MAX_PRIORITY, base.TASK_MIN_PRIORITY
    return replace(
        task,
        queue_name=found.queue_name if known else task.queue_name,
        priority=min(most, max(least, -found.priority)),
        run_after=found.scheduled_at,
    )


def _status(state: str) -> Any:  # noqa: ANN401
    if state == "finished":
        return Status.SUCCESSFUL
    if state == "claimed":
        return Status.RUNNING
    return Status.FAILED if state in {"failed", "discarded", "lost"} else Status.READY


def _first_start(found: JobInfo) -> datetime | None:
    starts = [each["started_at"] for each in found.errors if each["started_at"] is not None]
    return starts[0] if starts else _last_start(found)


def _last_start(found: JobInfo) -> datetime | None:
    if found.state == "claimed":
        claimed: datetime = found.details["claimed_at"]
        return claimed
    starts = [each["started_at"] for each in found.errors if each["started_at"] is not None]
    return found.started_at or (starts[-1] if starts else None)


def _failed_at(found: JobInfo) -> datetime | None:
    return found.errors[-1]["ended_at"] if found.state == "failed" and found.errors else None


def _worker_ids(found: JobInfo) -> list[str]:
    """Return a worker for each attempt."""
    ids = [each["process"] or SUCCEEDED_IN for each in found.errors]
    performed_by = found.details.get("process") or SUCCEEDED_IN
    ids += [performed_by] * (found.attempts - len(ids))
    return [*ids, found.details["process"]] if found.state == "claimed" else ids
