"""The backend of Django's tasks: the setting `TASKS` names `jobsd.django.TasksBackend`.

A task is a job under its module path. It is registered where it is defined, and nowhere else:
a path that no module of the project has registered is never imported.
"""

import asyncio
import inspect
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from jobsd import machine, text
from jobsd.arguments import signature
from jobsd.enqueueing import client
from jobsd.jobs import current, job_options, registry, time_limits
from jobsd.jobs.draft import draft, with_options
from jobsd.jobs.policy import Policy, constant, exponential, judge
from jobsd.jobs.registry import Definition
from jobsd.operations.job_info import find

from . import task_results
from .task_library import Status, backend, base, exceptions, signals, timezone

_FRAMES_MAX = 100


class Performed:
    """The function of a task as a worker calls it."""

    def __init__(self, task: Any) -> None:  # noqa: ANN401 - Django's
        self.task = task

    def __call__(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        """Perform a plain task."""
        attempt = _Attempt(self.task, args, kwargs)
        sender = attempt.sender
        signals.task_started.send(sender, task_result=attempt.result)
        try:
            returned = self.task.func(*attempt.context(), *args, **kwargs)
            kept = attempt.succeed(returned)
        except BaseException as error:
            if attempt.fail(error):
                signals.task_finished.send(sender, task_result=attempt.result)
            raise
        signals.task_finished.send(sender, task_result=attempt.result)
        return kept

    async def soon(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        """Perform an asynchronous task in the running loop."""
        attempt = _Attempt(self.task, args, kwargs)
        sender = attempt.sender
        await signals.task_started.asend(sender, task_result=attempt.result)
        try:
            returned = await self.task.func(*attempt.context(), *args, **kwargs)
            kept = attempt.succeed(returned)
        except BaseException as error:
            if attempt.fail(error):
                await signals.task_finished.asend(sender, task_result=attempt.result)
            raise
        await signals.task_finished.asend(sender, task_result=attempt.result)
        return kept

    def run_to_end(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        """Perform an asynchronous task in a loop of its own."""
        return asyncio.run(self.soon(*args, **kwargs))


class _Attempt:
    """One attempt of a task, and its facts for Django, without queries."""

    def __init__(self, task: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:  # noqa: ANN401
        self._job: current.CurrentJob = current.current_job()
        carried: dict[str, str] = self._job.context.get("task") or {}
        enqueued_at = carried.get("enqueued_at")
        self.result = task_results.made(
            task,
            self._job.id,
            args,
            kwargs,
            enqueued_at=datetime.fromisoformat(enqueued_at) if enqueued_at else None,
            started_at=timezone.now(),
            worker_ids=[f"{machine.hostname()}-{os.getpid()}"] * self._job.attempt,
        )
        self._takes_context = task.takes_context
        self.sender: type[object] = type(task.get_backend())

    def context(self) -> list[Any]:
        """Return the leading arguments of a task that takes its context."""
        if not self._takes_context:
            return []
        return [base.TaskContext(task_result=self.result)]

    def succeed(self, returned: Any) -> Any:  # noqa: ANN401
        """Finish the result; return the value to keep."""
        return task_results.succeed(self.result, returned, timezone.now())

    def fail(self, error: BaseException) -> bool:
        """Add an error to the result; return whether that is the end of the task."""
        if isinstance(error, asyncio.CancelledError):
            # The task is released when its worker drains.
            return False
        stack = text.error_stack(error, _FRAMES_MAX)
        self.result.errors.append(task_results.error(text.error_type(error), stack))
        policy = replace(registry.get(self._job.class_name).policy, backoff=constant(0))
        outcome = judge(policy, error, self._job.attempt, policy.max_attempts).outcome
        if outcome in {"retried", "snoozed"}:
            return False
        task_results.finish(self.result, Status.FAILED, timezone.now())
        return True


RESULT_TTL = "1d"


@dataclass(frozen=True, slots=True, kw_only=True)
class JobsTask(base.Task):  # type: ignore[misc] # pyright: ignore[reportUntypedBaseClass]
    """A task with options of a job: `@task(max_attempts=3)`, from Django 6.1 on."""

    max_attempts: int = 1
    backoff: Callable[[int], float | timedelta] | None = None
    timeout: timedelta | float | str | None = None
    result_ttl: timedelta | float | str | None = None


class TasksBackend(backend.BaseTaskBackend):  # type: ignore[misc] # pyright: ignore[reportUntypedBaseClass]
    """Enqueues Django's tasks as jobs; `OPTIONS["result_ttl"]` sets how long results stay."""

    task_class = JobsTask
    supports_defer = True
    supports_async_task = True
    supports_get_result = True
    supports_priority = True

    def validate_task(self, task: Any) -> None:  # noqa: ANN401 - Django's
        """Refuse an invalid task; register its job."""
        super().validate_task(task)  # pyright: ignore[reportUnknownMemberType]
        known = registry.find(task.module_path)
        if known is None or _function_of(known) is not task.func:
            registry.register(_definition(task, self.options.get("result_ttl", RESULT_TTL)))

    def enqueue(self, task: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:  # noqa: ANN401
        """Enqueue a task, as a part of the open transaction; return its result."""
        self.validate_task(task)
        enqueued_at = timezone.now()
        result = task_results.made(task, None, args, kwargs, enqueued_at=enqueued_at)
        definition = registry.get(task.module_path)
        definition.require(result.args, result.kwargs)
        drafted = with_options(
            draft(definition, result.args, result.kwargs),
            {
                "queue": task.queue_name,
                "priority": -int(task.priority),
                "wait_until": _aware(task.run_after),
            },
        )
        carried = {"backend": self.alias, "enqueued_at": enqueued_at.isoformat()}
        enqueued = client.enqueue(replace(drafted, context=json.dumps({"task": carried})))
        # If the queue has a database of its own, there is no id before the commit.
        object.__setattr__(result, "id", str(enqueued.id or "pending"))
        signals.task_enqueued.send(type(self), task_result=result)
        return result

    def get_result(self, result_id: str) -> Any:  # noqa: ANN401 - Django's
        """Return the result of an enqueued task.

        Raises:
            TaskResultDoesNotExist: when no job has this id, or it is not a task.
            UnknownJobError: when this project does not define the task.
        """
        found = find(int(result_id)) if result_id.isdecimal() else None
        task = None if found is None else _task_of(registry.get(found.class_name))
        if found is None or task is None:
            raise exceptions.TaskResultDoesNotExist(result_id)
        return task_results.of_job(found, task, self.queues)


def _definition(task: Any, result_ttl: Any) -> Definition:  # noqa: ANN401 - Django's
    """Return the job of a task. Larger priorities come first there, smaller ones here."""
    options = {
        name: getattr(task, name, None) for name in ("max_attempts", "backoff", "timeout")
    }
    policy = Policy(options["max_attempts"] or 1, backoff=options["backoff"] or exponential())
    performed = Performed(task)
    asynchronous = inspect.iscoroutinefunction(task.func)
    return Definition(
        task.module_path,
        performed.run_to_end if asynchronous else performed,
        task.queue_name,
        -int(task.priority),
        policy,
        f"{task.module_path} (a task)",
        takes=signature.Signature(task.func, *([None] if task.takes_context else [])),
        coroutine=performed.soon if asynchronous else None,
        time_limit=job_options.read_time_limit(options["timeout"]),
        result_ttl_s=time_limits.bounded_duration_s(
            "result_ttl", getattr(task, "result_ttl", None) or result_ttl
        ),
    )


def _performed(definition: Definition) -> Performed | None:
    found = getattr(definition.perform, "__self__", definition.perform)
    return found if isinstance(found, Performed) else None


def _task_of(definition: Definition) -> Any:  # noqa: ANN401 - Django's; None: a plain job
    performed = _performed(definition)
    return None if performed is None else performed.task


def _function_of(definition: Definition) -> Any:  # noqa: ANN401
    task = _task_of(definition)
    return None if task is None else task.func


def _aware(moment: Any) -> Any:  # noqa: ANN401 - a datetime, or None
    if moment is None or timezone.is_aware(moment):
        return moment
    # Only where USE_TZ is off.
    return timezone.make_aware(moment)
