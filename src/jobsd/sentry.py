"""Sentry: `sentry_sdk.init(…, integrations=[JobsdIntegration()])` in a module of the jobs.

Each attempt is a transaction in the trace of its enqueue, with a scope of its own. Its errors
are reported from there, while the traceback is whole. Attempts whose process has died are
reported by the tree's hooks process.
"""

import asyncio
import re
import uuid
from collections.abc import Collection, Generator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import cache
from typing import Any

import sentry_sdk
from sentry_sdk.consts import SPANDATA
from sentry_sdk.crons import capture_checkin
from sentry_sdk.integrations import Integration
from sentry_sdk.scope import should_send_default_pii
from sentry_sdk.utils import event_from_exception

from jobsd import clock, errors, text
from jobsd.events import hooks, killed_jobs
from jobsd.jobs import middleware, registry
from jobsd.jobs.current import CurrentJob
from jobsd.jobs.policy import Retry, constant, judge
from jobsd.schedules import parse

__all__ = ["JobsdIntegration"]

_ORIGIN = "auto.queue.jobsd"
_SOURCE: Any = "task"
"""The word itself: older versions of the SDK have no `TransactionSource`."""
_BAGGAGE_MAX = 4_000
"""The maximum of characters; more would leave no room for others in a job's context."""
_FLUSH_S = 2.0


class JobsdIntegration(Integration):
    """Reports jobs to Sentry: errors, traces, queues, and check-ins of recurring tasks.

    With `monitor_recurring_tasks` each recurring task is a cron monitor, but for the keys in
    `exclude_recurring_tasks`. With `report_retries=False` an error is reported only if the job
    is not tried again. With `report_killed=False` attempts of dead processes are not reported,
    and the tree's hooks process is not needed.
    """

    identifier = "jobsd"

    def __init__(
        self,
        *,
        monitor_recurring_tasks: bool = False,
        exclude_recurring_tasks: Collection[str] = (),
        report_retries: bool = True,
        report_killed: bool = True,
    ) -> None:
        self.monitor_recurring_tasks = monitor_recurring_tasks
        self.exclude_recurring_tasks = frozenset(exclude_recurring_tasks)
        self.report_retries = report_retries
        if report_killed:
            # Not in `setup_once`, which gets no options.
            killed_jobs.on_killed(self._report_killed)
            hooks.on_exit(_flush)

    def _report_killed(self, attempt: killed_jobs.KilledAttempt) -> None:
        if _integration() is self and (self.report_retries or not attempt.retried):
            _report_killed(attempt)

    @staticmethod
    def setup_once() -> None:
        """Surround all jobs and enqueues; called by Sentry, once in a process."""
        middleware.around_job(_around_job)
        middleware.around_enqueue(_around_enqueue)
        hooks.on_worker_exit(_flush)


def _integration() -> JobsdIntegration | None:
    return sentry_sdk.get_client().get_integration(JobsdIntegration)


def _flush(_process: object) -> None:
    sentry_sdk.flush(timeout=_FLUSH_S)


def _around_enqueue(job: CurrentJob) -> Generator[None, Any]:
    if _integration() is None:
        yield
        return
    with sentry_sdk.start_span(op="queue.publish", name=job.class_name, origin=_ORIGIN) as span:
        headers = {"sentry-trace": sentry_sdk.get_traceparent() or ""}
        if len(baggage := sentry_sdk.get_baggage() or "") <= _BAGGAGE_MAX:
            headers["baggage"] = baggage
        job.context["sentry"] = headers
        span.set_data(SPANDATA.MESSAGING_SYSTEM, "jobsd")
        span.set_data(SPANDATA.MESSAGING_DESTINATION_NAME, job.queue_name)
        enqueued = yield
        if enqueued is not None and enqueued.id is not None:
            span.set_data(SPANDATA.MESSAGING_MESSAGE_ID, str(enqueued.id))


def _around_job(job: CurrentJob) -> Generator[None, Any]:
    integration = _integration()
    if integration is None:
        yield
        return
    said: BaseException | None = None
    with ExitStack() as stack:
        scope = stack.enter_context(sentry_sdk.isolation_scope())
        scope.clear_breadcrumbs()
        _describe(scope, job)
        transaction = stack.enter_context(_transaction(job))
        stack.enter_context(_checked_in(job, integration))
        stack.enter_context(_span(job))
        try:
            yield
        except BaseException as error:
            outcome = _outcome(error, job)
            if outcome not in {"snoozed", "discarded"}:
                if outcome != "retried" or integration.report_retries:
                    _report(error, handled=outcome == "retried")
                raise
            # No error: Sentry must not see it leave its spans.
            said = error
        transaction.set_status("ok" if said is None else "aborted")
    if said is not None:
        raise said


def _report_killed(attempt: killed_jobs.KilledAttempt) -> None:
    """Report an attempt that raised no error: there is no traceback."""
    mechanism = {"type": "jobsd", "handled": attempt.retried}
    error = {"type": attempt.kind, "value": attempt.message, "mechanism": mechanism}
    with sentry_sdk.isolation_scope() as scope:
        _report_job(scope, attempt, {})
        sentry_sdk.capture_event({"level": "error", "exception": {"values": [error]}})


def _describe(scope: sentry_sdk.Scope, job: CurrentJob) -> None:
    more = {"arguments": job.arguments} if should_send_default_pii() else {}
    _report_job(scope, job, more)


def _report_job(
    scope: sentry_sdk.Scope, job: CurrentJob | killed_jobs.KilledAttempt, more: dict[str, Any]
) -> None:
    scope.set_transaction_name(job.class_name, source=_SOURCE)
    scope.set_tag("jobsd.job", job.class_name)
    scope.set_tag("jobsd.queue", job.queue_name)
    facts: dict[str, Any] = {
        "job_id": job.job_id if isinstance(job, killed_jobs.KilledAttempt) else job.id,
        "class_name": job.class_name,
        "queue_name": job.queue_name,
        "attempt": job.attempt,
    }
    scope.set_context("jobsd", facts | more)


@contextmanager
def _transaction(job: CurrentJob) -> Generator[Any]:
    """Go on with the trace of the enqueue."""
    transaction = sentry_sdk.continue_trace(
        text.texts_of(job.context.get("sentry")),
        op="queue.task.jobsd",
        name=job.class_name,
        source=_SOURCE,
        origin=_ORIGIN,
    )
    sampled_by = {"jobsd_job": {"class_name": job.class_name, "queue_name": job.queue_name}}
    with sentry_sdk.start_transaction(transaction, custom_sampling_context=sampled_by) as begun:
        yield begun


@contextmanager
def _span(job: CurrentJob) -> Generator[None]:
    """Measure the figures of Sentry's page of queues."""
    with sentry_sdk.start_span(op="queue.process", name=job.class_name, origin=_ORIGIN) as span:
        span.set_data(SPANDATA.MESSAGING_SYSTEM, "jobsd")
        span.set_data(SPANDATA.MESSAGING_DESTINATION_NAME, job.queue_name)
        span.set_data(SPANDATA.MESSAGING_MESSAGE_ID, str(job.id))
        span.set_data(SPANDATA.MESSAGING_MESSAGE_RETRY_COUNT, max(job.attempt - 1, 0))
        if (waited_s := job.waited_s) is not None:
            latency_ms = round(waited_s * 1000, 3)
            span.set_data(SPANDATA.MESSAGING_MESSAGE_RECEIVE_LATENCY, latency_ms)
        yield


def _outcome(error: BaseException, job: CurrentJob) -> str:
    """Return the outcome of a job that raised this; "snoozed" if it only postponed itself."""
    # A coroutine is cancelled when its worker drains, and is released.
    if isinstance(error, (Retry, asyncio.CancelledError)):
        return "snoozed"
    policy = replace(registry.get(job.class_name).policy, backoff=constant(0))
    return judge(policy, error, job.attempt, policy.max_attempts).outcome


def _report(error: BaseException, *, handled: bool) -> None:
    sentry_sdk.capture_event(
        *event_from_exception(
            error,
            client_options=sentry_sdk.get_client().options,
            mechanism={"type": "jobsd", "handled": handled},
        )
    )


@contextmanager
def _checked_in(job: CurrentJob, integration: JobsdIntegration) -> Generator[None]:
    """Check in at the monitor of the job's recurring task, if it has one."""
    task = text.texts_of(job.context.get("recurring_task"))
    wanted = integration.monitor_recurring_tasks and {"key", "schedule", "time_zone"} <= set(
        task
    )
    if not wanted or task["key"] in integration.exclude_recurring_tasks:
        yield
        return
    facts: dict[str, Any] = {
        "monitor_slug": re.sub(r"[^a-z0-9_-]+", "-", task["key"].lower()),
        "check_in_id": uuid.uuid4().hex,
        "monitor_config": _monitor(task["key"], task["schedule"], task["time_zone"]),
    }
    capture_checkin(status="in_progress", **facts)
    begun, status = clock.monotonic(), "error"
    try:
        yield
        status = "ok"
    finally:
        capture_checkin(status=status, duration=clock.monotonic() - begun, **facts)


@cache
def _monitor(key: str, phrase: str, time_zone: str) -> Any:  # noqa: ANN401 - Sentry's
    """Return the settings of a monitor; None for a schedule that Sentry can't express."""
    try:
        schedule = parse(phrase, time_zone, key=key)
    except errors.Error:
        return None
    if schedule.cron is None or len(schedule.cron.split()) != 5:
        return None
    return {
        "schedule": {"type": "crontab", "value": schedule.cron},
        "timezone": schedule.time_zone or time_zone,
    }
