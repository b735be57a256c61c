"""How a job of a Django task is performed: with its context, and Django's signals around it."""

import asyncio
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from jobsd.jobs import current, registry
from jobsd.jobs.policy import constant, judge
from jobsd.machine import hostname
from jobsd.text import error_stack, error_type

from . import task_results
from .task_library import Status, base, signals, timezone

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
        """Perform an asynchronous task in the loop that runs here."""
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
    """One attempt of a task, and what Django is told of it, without asking the database."""

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
            worker_ids=[f"{hostname()}-{os.getpid()}"] * self._job.attempt,
        )
        self._takes_context = task.takes_context
        self.sender: type[object] = type(task.get_backend())

    def context(self) -> list[Any]:
        """Return what comes before the arguments of a task that takes its context."""
        if not self._takes_context:
            return []
        return [base.TaskContext(task_result=self.result)]

    def succeed(self, returned: Any) -> Any:  # noqa: ANN401
        """Finish the result; return what is kept."""
        return task_results.succeed(self.result, returned, timezone.now())

    def fail(self, error: BaseException) -> bool:
        """Add an error to the result; return whether that is the end of the task."""
        if isinstance(error, asyncio.CancelledError):
            # It goes back when its worker drains.
            return False
        stack = error_stack(error, _FRAMES_MAX)
        self.result.errors.append(task_results.error(error_type(error), stack))
        policy = replace(registry.get(self._job.class_name).policy, backoff=constant(0))
        outcome = judge(policy, error, self._job.attempt, policy.max_attempts).outcome
        if outcome in {"retried", "snoozed"}:
            return False
        task_results.finish(self.result, Status.FAILED, timezone.now())
        return True
