"""OpenTelemetry's real SDK, with exporters that keep what would be sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import jobsd.opentelemetry
from frameworks.reported_jobs import ODD_CONTEXTS, fine, perform_with, says, soon, stumbles
from jobsd.enqueueing.client import enqueue_many
from jobsd.recurring.tasks import RecurringTask

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.sdk.trace import ReadableSpan

    from driven_worker import Count, MakeWorker


class Exported:
    """What has been traced and measured."""

    def __init__(self) -> None:
        self._spans = InMemorySpanExporter()
        self._metrics = InMemoryMetricReader()
        self.tracers = TracerProvider()
        self.tracers.add_span_processor(SimpleSpanProcessor(self._spans))
        self.meters = MeterProvider([self._metrics])

    def spans(self, name: str) -> list[ReadableSpan]:
        """Return the spans of a name in the order of their ends."""
        return [each for each in self._spans.get_finished_spans() if each.name == name]

    def points(self, name: str) -> list[Any]:
        """Return the points of one metric."""
        data = self._metrics.get_metrics_data()
        assert data is not None
        (resource,) = data.resource_metrics
        (scope,) = resource.scope_metrics
        (found,) = (metric for metric in scope.metrics if metric.name == name)
        return list(found.data.data_points)


@pytest.fixture
def exported() -> Iterator[Exported]:
    made = Exported()
    jobsd.opentelemetry.instrument(tracer_provider=made.tracers, meter_provider=made.meters)
    yield made
    made.tracers.shutdown()
    made.meters.shutdown()


def test_attempts_are_children_of_the_enqueue(
    exported: Exported, make_worker: MakeWorker, count: Count
) -> None:
    worker = make_worker()
    with exported.tracers.get_tracer("shop").start_as_current_span("request") as request:
        job_id = stumbles.enqueue(7).id
    worker.until(lambda: count("failed_executions") == 1)

    (sent,) = exported.spans("send mail")
    attempts = exported.spans("process mail")
    assert sent.kind.name == "PRODUCER"
    assert sent.parent is not None
    assert sent.parent.span_id == request.get_span_context().span_id
    for each in attempts:
        assert each.kind.name == "CONSUMER"
        assert each.parent is not None
        assert each.context is not None
        assert sent.context is not None
        assert each.parent.span_id == sent.context.span_id
        assert each.context.trace_id == request.get_span_context().trace_id
    facts = dict(attempts[0].attributes or {})
    assert facts == {
        "messaging.system": "jobsd",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": "mail",
        "messaging.message.id": str(job_id),
        "jobsd.job": "reported.stumbles",
        "jobsd.attempt": 1,
        "error.type": "ValueError",
    }
    assert [(each.attributes or {})["jobsd.attempt"] for each in attempts] == [1, 2]
    assert [each.status.status_code.name for each in attempts] == ["ERROR"] * 2
    assert [[event.name for event in each.events] for each in attempts] == [["exception"]] * 2
    assert (sent.attributes or {})["messaging.message.id"] == str(job_id)
    assert sent.status.status_code.name == "UNSET"


def test_jobs_are_counted_by_queue_and_error(
    exported: Exported, make_worker: MakeWorker, count: Count
) -> None:
    worker = make_worker()
    fine.enqueue(1)
    enqueue_many([soon.with_args(n) for n in range(2)])
    stumbles.enqueue(7)
    worker.until(lambda: count("jobs WHERE finished_at IS NOT NULL") == 3)
    worker.until(lambda: count("failed_executions") == 1)

    (sent,) = exported.points("messaging.client.sent.messages")
    consumed = {
        point.attributes.get("error.type"): point.value
        for point in exported.points("messaging.client.consumed.messages")
    }
    durations = sum(point.count for point in exported.points("messaging.process.duration"))
    assert (sent.value, sent.attributes["messaging.destination.name"]) == (4, "mail")
    assert consumed == {None: 3, "ValueError": 2}
    assert durations == 5


def test_discards_and_snoozes_are_no_errors(
    exported: Exported, make_worker: MakeWorker, count: Count
) -> None:
    worker = make_worker()
    says.enqueue("discard")
    says.enqueue("snooze")
    worker.until(lambda: count("jobs WHERE outcome = 'discarded'") == 1)
    worker.until(lambda: count("scheduled_executions") == 1)

    statuses = [each.status.status_code.name for each in exported.spans("process default")]
    assert statuses == ["UNSET"] * 2


@pytest.mark.parametrize("context", ODD_CONTEXTS)
def test_no_job_fails_by_what_others_have_written(
    exported: Exported, context: dict[str, Any]
) -> None:
    perform_with(context)

    assert [each.parent for each in exported.spans("process mail")] == [None]


def test_the_job_of_a_recurring_task_begins_a_trace_and_names_it(
    exported: Exported, make_worker: MakeWorker, count: Count
) -> None:
    worker = make_worker()
    RecurringTask.schedule(
        "nightly", schedule="every hour", class_name="reported.fine", args=[1]
    ).run_now()
    worker.until(lambda: count("jobs WHERE outcome = 'finished'") == 1)

    (span,) = exported.spans("process mail")
    assert span.parent is None
    assert (span.attributes or {})["jobsd.recurring_task"] == "nightly"
