"""OpenTelemetry: `jobsd.opentelemetry.instrument()`, once in each program.

An enqueue is a span of a producer, each attempt one of a consumer, its child: the context
travels in the row of the job. Names are those of the conventions for messaging. The span of an
attempt is lost with its process: the tree's hooks process then makes another one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from opentelemetry import metrics, propagate, trace
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer, TracerProvider

from jobsd import clock, text
from jobsd.events.hooks import on_exit, on_worker_exit
from jobsd.events.killed_jobs import KilledAttempt, on_killed
from jobsd.jobs.current import CurrentJob
from jobsd.jobs.middleware import around_enqueue, around_job
from jobsd.jobs.policy import Discard, Retry, Snooze

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.metrics import Counter, Histogram, MeterProvider


__all__ = ["instrument"]

_CARRIED_MAX = 4_000
"""The maximum of characters; more would leave no room for others in a job's context."""


@dataclass(frozen=True, slots=True)
class _Instruments:
    tracer: Tracer
    sent: Counter
    consumed: Counter
    duration: Histogram
    providers: tuple[object, ...]


_made: list[_Instruments] = []


def instrument(
    *,
    tracer_provider: TracerProvider | None = None,
    meter_provider: MeterProvider | None = None,
    report_killed: bool = True,
) -> None:
    """Trace and measure every enqueue and every job of this program.

    Without providers the global ones are used, also when they are set later. With
    `report_killed=False` attempts of dead processes are not reported, and the tree's hooks
    process is not needed.
    """
    meter = metrics.get_meter("jobsd", meter_provider=meter_provider)
    _made[:] = [
        _Instruments(
            trace.get_tracer("jobsd", tracer_provider=tracer_provider),
            meter.create_counter("messaging.client.sent.messages", "{message}"),
            meter.create_counter("messaging.client.consumed.messages", "{message}"),
            meter.create_histogram("messaging.process.duration", "s"),
            (tracer_provider, meter_provider),
        )
    ]
    around_job(_around_job)
    around_enqueue(_around_enqueue)
    on_worker_exit(_flush)
    if report_killed:
        on_killed(_report_killed)
        on_exit(_flush)


def _flush(_process: object) -> None:
    """Export collected spans and metrics: the process ends without exit handlers."""
    given = _made[0].providers
    for provider in (
        given[0] or trace.get_tracer_provider(),
        given[1] or metrics.get_meter_provider(),
    ):
        if (flush := getattr(provider, "force_flush", None)) is not None:
            flush()


def _around_enqueue(job: CurrentJob) -> Generator[None, Any]:
    (made,) = _made
    facts = _facts(job, "send")
    with _span(made.tracer, job, facts, SpanKind.PRODUCER) as span:
        carried: dict[str, str] = {}
        propagate.inject(carried)
        if sum(map(len, carried.values())) <= _CARRIED_MAX:
            job.context["otel"] = carried
        with _counted(made.sent, facts):
            enqueued = yield
        if enqueued is not None and enqueued.id is not None:
            span.set_attribute("messaging.message.id", str(enqueued.id))


def _around_job(job: CurrentJob) -> Generator[None, Any]:
    (made,) = _made
    facts = _facts(job, "process")
    parent = propagate.extract(text.texts_of(job.context.get("otel")))
    with (
        _span(made.tracer, job, facts, SpanKind.CONSUMER, parent) as span,
        _counted(made.consumed, facts, made.duration),
    ):
        span.set_attribute("messaging.message.id", str(job.id))
        span.set_attribute("jobsd.attempt", job.attempt)
        if key := text.texts_of(job.context.get("recurring_task")).get("key"):
            span.set_attribute("jobsd.recurring_task", key)
        yield


def _report_killed(attempt: KilledAttempt) -> None:
    """Make a span that begins and ends now: only its process knew when the attempt began."""
    (made,) = _made
    facts = {**_facts(attempt, "process"), "error.type": attempt.kind}
    span = made.tracer.start_span(
        f"process {attempt.queue_name}",
        kind=SpanKind.CONSUMER,
        attributes={
            **facts,
            "jobsd.job": attempt.class_name,
            "jobsd.attempt": attempt.attempt,
            "messaging.message.id": str(attempt.job_id),
        },
    )
    span.set_status(Status(StatusCode.ERROR, attempt.message))
    span.end()
    made.consumed.add(1, facts)


def _facts(job: CurrentJob | KilledAttempt, operation: str) -> dict[str, str]:
    """Return the common attributes of spans and metrics."""
    return {
        "messaging.system": "jobsd",
        "messaging.operation.name": operation,
        "messaging.operation.type": operation,
        "messaging.destination.name": job.queue_name,
    }


@contextmanager
def _span(
    tracer: Tracer,
    job: CurrentJob,
    facts: dict[str, str],
    kind: SpanKind,
    parent: Context | None = None,
) -> Generator[Span]:
    """Start the span of an enqueue or a job, which records errors."""
    with tracer.start_as_current_span(
        f"{facts['messaging.operation.name']} {job.queue_name}",
        context=parent,
        kind=kind,
        attributes={**facts, "jobsd.job": job.class_name},
        record_exception=False,
        set_status_on_exception=False,
    ) as span:
        try:
            yield span
        except BaseException as error:
            if not _is_no_error(error):
                span.record_exception(error)
                span.set_attribute("error.type", text.error_type(error))
                span.set_status(Status(StatusCode.ERROR, text.error_type(error)))
            raise


@contextmanager
def _counted(
    counter: Counter, facts: dict[str, str], duration: Histogram | None = None
) -> Generator[None]:
    begun, reported = clock.monotonic(), facts
    try:
        yield
    except BaseException as error:
        if not _is_no_error(error):
            reported = {**facts, "error.type": text.error_type(error)}
        raise
    finally:
        counter.add(1, reported)
        if duration is not None:
            duration.record(clock.monotonic() - begun, reported)


def _is_no_error(error: BaseException) -> bool:
    """Return whether an exception only sets the outcome of a job, or the job is released."""
    return isinstance(error, (Retry, Snooze, Discard, asyncio.CancelledError))
