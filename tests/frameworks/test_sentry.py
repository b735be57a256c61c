"""Sentry's real SDK, with a transport that keeps what would be sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import sentry_sdk
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from sentry_sdk.transport import Transport

import jobsd.opentelemetry
from frameworks.reported_jobs import (
    ODD_CONTEXTS,
    TOGETHER,
    fine,
    perform_with,
    says,
    soon,
    stumbles,
    together,
)
from jobsd.enqueueing.client import enqueue_many
from jobsd.recurring.tasks import RecurringTask
from jobsd.sentry import JobsdIntegration

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sentry_sdk.envelope import Envelope

    from driven_worker import Count, MakeWorker


class Kept(Transport):
    """Keeps all items, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.items: list[tuple[str, Any]] = []

    def capture_envelope(self, envelope: Envelope) -> None:
        self.items += [(item.type or "", item.payload.json) for item in envelope.items]

    def of(self, kind: str) -> list[Any]:
        """Return the items of one kind."""
        return [item for each, item in self.items if each == kind]


@pytest.fixture
def sent() -> Iterator[Kept]:
    kept = Kept()
    _begin(kept, JobsdIntegration(monitor_recurring_tasks=True))
    yield kept
    sentry_sdk.get_client().close()
    sentry_sdk.get_global_scope().set_client(None)


def _begin(kept: Kept, integration: JobsdIntegration) -> None:
    sentry_sdk.init(
        "http://key@127.0.0.1:9/1",
        transport=kept,
        traces_sample_rate=1.0,
        integrations=[integration],
        default_integrations=True,
        auto_enabling_integrations=False,
    )
    # It is called once in a process, and each test forgets what surrounds jobs.
    JobsdIntegration.setup_once()


def test_each_attempt_is_reported_with_its_scope_in_the_trace_of_the_enqueue(
    sent: Kept, make_worker: MakeWorker, count: Count
) -> None:
    worker = make_worker()
    with sentry_sdk.start_transaction(name="request") as request:
        job_id = stumbles.enqueue(7).id
        sentry_sdk.add_breadcrumb(message="of the request")
    worker.until(lambda: count("failed_executions") == 1)

    errors = sent.of("event")
    assert [each["exception"]["values"][-1]["type"] for each in errors] == ["ValueError"] * 2
    assert {each["contexts"]["trace"]["trace_id"] for each in errors} == {request.trace_id}
    reported = [each["contexts"]["jobsd"] for each in errors]
    assert [facts["attempt"] for facts in reported] == [1, 2]
    assert reported[0] | {"attempt": 0} == {
        "job_id": job_id,
        "class_name": "reported.stumbles",
        "queue_name": "mail",
        "attempt": 0,
    }
    assert errors[0]["tags"] == {"jobsd.job": "reported.stumbles", "jobsd.queue": "mail"}
    handled = [each["exception"]["values"][-1]["mechanism"]["handled"] for each in errors]
    assert handled == [True, False]
    crumbs = [[crumb["message"] for crumb in each["breadcrumbs"]["values"]] for each in errors]
    assert crumbs == [["attempt 1"], ["attempt 2"]]
    frames = errors[0]["exception"]["values"][-1]["stacktrace"]["frames"]
    assert (frames[-1]["function"], frames[-1]["vars"]) == ("stumbles", {"number": "7"})


def test_coroutines_of_one_loop_share_no_scope(
    sent: Kept, make_worker: MakeWorker, count: Count
) -> None:
    exported = InMemorySpanExporter()
    tracers = TracerProvider()
    tracers.add_span_processor(SimpleSpanProcessor(exported))
    jobsd.opentelemetry.instrument(tracer_provider=tracers)
    worker = make_worker(coroutines=TOGETHER)
    for number in range(TOGETHER):
        together.enqueue(number)
    worker.until(lambda: count("failed_executions") == TOGETHER)

    reported = {
        each["exception"]["values"][-1]["value"]: [
            crumb["message"] for crumb in each["breadcrumbs"]["values"]
        ]
        for each in sent.of("event")
    }
    transactions = sent.of("transaction")
    traces = {each["contexts"]["trace"]["trace_id"] for each in transactions}
    spans = exported.get_finished_spans()
    performed = [each for each in spans if each.name == "process mail"]
    parents = {each.parent.span_id for each in performed if each.parent is not None}
    sent_by = {
        each.context.span_id for each in spans if each.name == "send mail" and each.context
    }
    assert reported == {str(number): [f"number {number}"] for number in range(TOGETHER)}
    assert (len(transactions), len(traces)) == (TOGETHER, 1)
    assert (len(performed), parents) == (TOGETHER, sent_by)
    tracers.shutdown()


def test_a_job_is_a_transaction_and_reports_its_queue(
    sent: Kept, make_worker: MakeWorker, count: Count
) -> None:
    worker = make_worker()
    with sentry_sdk.start_transaction(name="request") as request:
        first = fine.enqueue(1).id
        enqueue_many([soon.with_args(2)])
    worker.until(lambda: count("jobs WHERE outcome = 'finished'") == 2)

    asked, *performed = sent.of("transaction")
    published = [(each["op"], each["description"]) for each in asked["spans"]]
    assert published == [
        ("queue.publish", "reported.fine"),
        ("queue.publish", "reported.soon"),
    ]
    assert asked["spans"][0]["data"]["messaging.message.id"] == str(first)
    by_name = {each["transaction"]: each for each in performed}
    assert by_name.keys() == {"reported.fine", "reported.soon"}
    one = by_name["reported.fine"]
    trace = one["contexts"]["trace"]
    assert (trace["trace_id"], trace["op"], trace["status"]) == (
        request.trace_id,
        "queue.task.jobsd",
        "ok",
    )
    assert trace["parent_span_id"] == asked["spans"][0]["span_id"]
    (span,) = one["spans"]
    assert span["op"] == "queue.process"
    assert span["data"].pop("messaging.message.receive.latency") >= 0
    assert {name: span["data"][name] for name in span["data"] if "messaging" in name} == {
        "messaging.system": "jobsd",
        "messaging.destination.name": "mail",
        "messaging.message.id": str(first),
        "messaging.message.retry.count": 0,
    }


def test_discards_snoozes_and_retries_are_no_errors(
    sent: Kept, make_worker: MakeWorker, count: Count
) -> None:
    worker = make_worker()
    for word in ("discard", "snooze", "retry", "gone", "broken"):
        says.enqueue(word)
    worker.until(lambda: count("failed_executions") == 2)
    worker.until(lambda: count("jobs WHERE outcome = 'discarded'") == 2)
    worker.until(lambda: count("scheduled_executions") == 1)

    reported = [each["exception"]["values"][-1]["type"] for each in sent.of("event")]
    statuses = sorted(each["contexts"]["trace"]["status"] for each in sent.of("transaction"))
    assert reported == ["ZeroDivisionError"]
    assert statuses == ["aborted"] * 4 + ["internal_error"]


@pytest.mark.parametrize("context", ODD_CONTEXTS)
def test_no_job_fails_by_what_others_have_written(sent: Kept, context: dict[str, Any]) -> None:
    perform_with(context)

    assert [each["contexts"]["trace"]["status"] for each in sent.of("transaction")] == ["ok"]
    assert sent.of("check_in") == sent.of("event") == []


def test_errors_that_are_retried_may_be_left_out(
    sent: Kept, make_worker: MakeWorker, count: Count
) -> None:
    _begin(sent, JobsdIntegration(report_retries=False))
    worker = make_worker()
    stumbles.enqueue(7)
    worker.until(lambda: count("failed_executions") == 1)

    assert [each["contexts"]["jobsd"]["attempt"] for each in sent.of("event")] == [2]


@pytest.mark.parametrize(
    ("schedule", "cron"),
    [("at 3am every day", "0 3 * * *"), ("every 10 seconds", None)],
)
def test_a_recurring_task_checks_in(
    schedule: str,
    cron: str | None,
    sent: Kept,
    make_worker: MakeWorker,
    count: Count,
) -> None:
    worker = make_worker()
    task = RecurringTask.schedule(
        "Nightly mail",
        schedule=schedule,
        time_zone="Europe/Paris",
        class_name="reported.stumbles",
        args=[1],
    )
    assert task is not None
    task.run_now()
    fine.enqueue(1)
    worker.until(lambda: count("failed_executions") == 1)
    worker.until(lambda: count("jobs WHERE outcome = 'finished'") == 1)

    reported = sent.of("check_in")
    assert [each["status"] for each in reported] == ["in_progress", "error"] * 2
    assert {each["monitor_slug"] for each in reported} == {"nightly-mail"}
    assert len({each["check_in_id"] for each in reported}) == 2
    config = None
    if cron is not None:
        crontab = {"type": "crontab", "value": cron}
        config = {"schedule": crontab, "timezone": "Europe/Paris"}
    assert [each.get("monitor_config") for each in reported] == [config] * 4


def test_a_task_that_is_excluded_does_not_check_in(
    sent: Kept, make_worker: MakeWorker, count: Count
) -> None:
    excluded = {"quiet"}
    _begin(
        sent,
        JobsdIntegration(monitor_recurring_tasks=True, exclude_recurring_tasks=excluded),
    )
    worker = make_worker()
    RecurringTask.schedule(
        "quiet", schedule="every hour", class_name="reported.fine", args=[1]
    ).run_now()
    worker.until(lambda: count("jobs WHERE outcome = 'finished'") == 1)

    assert sent.of("check_in") == []


def test_without_the_integration_nothing_is_sent(
    sent: Kept, make_worker: MakeWorker, count: Count
) -> None:
    sentry_sdk.init("http://key@127.0.0.1:9/1", transport=sent, traces_sample_rate=1.0)
    worker = make_worker()
    stumbles.enqueue(7)
    worker.until(lambda: count("failed_executions") == 1)

    assert sent.of("event") == sent.of("transaction") == []
    assert count("jobs WHERE context IS NOT NULL") == 0
