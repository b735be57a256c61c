"""The exposition: the names, in both forms, and clean by Prometheus's own judgement."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import pytest
from prometheus_client.core import Metric
from prometheus_client.openmetrics import parser as openmetrics_parser
from prometheus_client.parser import text_string_to_metric_families

from jobsd.metrics import metrics
from jobsd.metrics.figures import DatabaseFigures, Durations, TableSize, TaskRuns, TreeFigures
from jobsd.metrics.metrics import accepts_openmetrics, exposition, exposition_with

if TYPE_CHECKING:
    from collections.abc import Callable

TREE = TreeFigures(
    bounds_s=(0.005, 1.0, 1800.0),
    outcomes={"mail": {"finished": 7, "failed": 1}},
    timeouts={"mail": {"soft": 2, "hard": 0}},
    cancelled={"mail": 5},
    runs={"mail": Durations([1, 6, 0, 1], 9.5)},
    waits={"mail": Durations([8, 0, 0, 0], 0.01)},
    restarts={("worker", "signal"): 2},
    busy_threads=1,
    busy_coroutines=3,
    idle_coroutines=97,
    idle_threads=2,
    loop_age_s=0.25,
    dropped_lines=3,
    database_up=True,
    reloads={"done": 4, "refused": 1, "failed": 0},
    reload_succeeded=False,
    resident_bytes={("worker", "1"): 40_000_000},
    expired={"mail": 1},
    class_outcomes={"shop.welcome": {"finished": 6, "failed": 1}},
    class_runs={"shop.welcome": Durations([0, 6, 0, 1], 8.5)},
    failures={"shop.Refused": {"failed": 1, "retried": 4}},
    web_requests={("/jobs", "200"): 12},
    prunes=2,
    claims_lost=3,
    outages=4,
    outage_s=90.5,
    outage_age_s=1.25,
)

DATABASE = DatabaseFigures(
    depths={"mail": {"ready": 4, "failed": 1}, 'odd "name\\\n': {"scheduled": 2}},
    latencies_s={"mail": 12.5},
    claim_ages_s={"mail": 3600.5},
    unknown_jobs={"mail": 3},
    unknown_for_s={"mail": 61.5},
    processes={"worker": 2, "supervisor": 1},
    heartbeat_ages_s={("worker", "worker-1"): 1.5},
    tasks={
        "heartbeat": TaskRuns(9, 2, 1764000000.0, failed=1, next_at=1764000300.0),
        "never": TaskRuns(0, disabled=True),
    },
    last_heartbeat=1764000001.0,
    postgresql="18.1",
    paused=frozenset({"mail", "night"}),
    dispatch_lag_s=2.5,
    tables={"jobs": TableSize(81920, 7, 3)},
    oldest_transaction_s=61.5,
    busy_threads={"mail": 2},
    enqueued={"mail": 4711},
    desired_workers={"mail": 3},
    findings={("late", "warning"): True, ("no_worker", "bad"): False},
)

NAMES = {
    "jobsd_queue_jobs",
    "jobsd_queue_latency_seconds",
    "jobsd_queue_paused",
    "jobsd_queue_claim_age_seconds",
    "jobsd_health_finding",
    "jobsd_dispatch_lag_seconds",
    "jobsd_oldest_transaction_seconds",
    "jobsd_table_bytes",
    "jobsd_table_rows",
    "jobsd_process_resident_bytes",
    "jobsd_queue_unknown_class_jobs",
    "jobsd_queue_unknown_class_age_seconds",
    "jobsd_jobs",
    "jobsd_timeouts",
    "jobsd_cancelled",
    "jobsd_coroutines",
    "jobsd_expired",
    "jobsd_job_duration_seconds",
    "jobsd_job_wait_seconds",
    "jobsd_processes",
    "jobsd_process_restarts",
    "jobsd_process_heartbeat_age_seconds",
    "jobsd_worker_threads",
    "jobsd_recurring_enqueued",
    "jobsd_recurring_last_run_timestamp_seconds",
    "jobsd_heartbeat_last_timestamp_seconds",
    "jobsd_database_up",
    "jobsd_supervisor_loop_age_seconds",
    "jobsd_log_lines_dropped",
    "jobsd_reloads",
    "jobsd_reload_last_success",
    "jobsd_build_info",
    "jobsd_class_jobs",
    "jobsd_class_duration_seconds",
    "jobsd_failures",
    "jobsd_prunes",
    "jobsd_web_requests",
    "jobsd_claims_lost",
    "jobsd_outages",
    "jobsd_outage_seconds",
    "jobsd_outage_age_seconds",
    "jobsd_queue_busy_threads",
    "jobsd_queue_enqueued",
    "jobsd_desired_workers",
    "jobsd_recurring_missed",
    "jobsd_recurring_failed_runs",
    "jobsd_recurring_disabled",
    "jobsd_recurring_next_run_timestamp_seconds",
}

_parse = cast(
    "Callable[[str], Any]",
    openmetrics_parser.text_string_to_metric_families,  # pyright: ignore[reportUnknownMemberType]
)

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def _samples(tree: TreeFigures | None, database: DatabaseFigures | None) -> Samples:
    body, _ = exposition(tree, database)
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(body.decode())
        for sample in family.samples
    }


def _value(samples: Samples, name: str, **labels: str) -> float:
    return samples[name, tuple(sorted(labels.items()))]


def test_every_metric_is_there() -> None:
    body, _ = exposition(TREE, DATABASE)

    found = {family.name for family in text_string_to_metric_families(body.decode())}
    assert found == NAMES


def test_the_figures_of_queues_tables_and_memory_are_rendered() -> None:
    samples = _samples(TREE, DATABASE)

    assert _value(samples, "jobsd_queue_paused", queue="mail") == 1
    assert _value(samples, "jobsd_queue_paused", queue="night") == 1, "it has no jobs"
    assert _value(samples, "jobsd_queue_paused", queue='odd "name\\\n') == 0
    assert _value(samples, "jobsd_dispatch_lag_seconds") == 2.5
    assert _value(samples, "jobsd_oldest_transaction_seconds") == 61.5
    assert _value(samples, "jobsd_table_bytes", table="jobs") == 81920
    assert _value(samples, "jobsd_table_rows", table="jobs", state="dead") == 3
    assert _value(samples, "jobsd_process_resident_bytes", kind="worker", number="1") == 4e7


def test_the_figures_of_trees_and_jobs_are_rendered() -> None:
    samples = _samples(TREE, DATABASE)

    assert _value(samples, "jobsd_jobs_total", queue="mail", outcome="finished") == 7
    assert _value(samples, "jobsd_reloads_total", outcome="refused") == 1
    assert _value(samples, "jobsd_reload_last_success") == 0
    assert _value(samples, "jobsd_job_duration_seconds_bucket", queue="mail", le="1.0") == 7
    assert _value(samples, "jobsd_job_duration_seconds_bucket", queue="mail", le="+Inf") == 8
    assert _value(samples, "jobsd_job_duration_seconds_count", queue="mail") == 8
    assert _value(samples, "jobsd_job_duration_seconds_sum", queue="mail") == 9.5
    assert _value(samples, "jobsd_process_restarts_total", kind="worker", reason="signal") == 2
    assert _value(samples, "jobsd_worker_threads", state="idle") == 2
    assert _value(samples, "jobsd_coroutines", state="idle") == 97
    assert _value(samples, "jobsd_log_lines_dropped_total") == 3
    assert _value(samples, "jobsd_queue_jobs", queue="mail", state="ready") == 4
    assert _value(samples, "jobsd_queue_latency_seconds", queue="mail") == 12.5
    assert _value(samples, "jobsd_queue_claim_age_seconds", queue="mail") == 3600.5
    assert _value(samples, "jobsd_queue_unknown_class_jobs", queue="mail") == 3
    assert _value(samples, "jobsd_queue_unknown_class_age_seconds", queue="mail") == 61.5
    assert _value(samples, "jobsd_recurring_enqueued_total", task="heartbeat") == 9
    assert _value(samples, "jobsd_heartbeat_last_timestamp_seconds") == 1764000001


def test_the_figures_of_classes_errors_and_outages_are_rendered() -> None:
    samples = _samples(TREE, DATABASE)
    welcome = {"class": "shop.welcome"}

    assert _value(samples, "jobsd_class_jobs_total", **welcome, outcome="failed") == 1
    assert _value(samples, "jobsd_class_duration_seconds_count", **welcome) == 7
    assert _value(samples, "jobsd_class_duration_seconds_sum", **welcome) == 8.5
    assert _value(samples, "jobsd_failures_total", error="shop.Refused", outcome="retried") == 4
    assert _value(samples, "jobsd_prunes_total") == 2
    assert _value(samples, "jobsd_claims_lost_total") == 3
    assert _value(samples, "jobsd_outages_total") == 4
    assert _value(samples, "jobsd_outage_seconds_total") == 90.5
    assert _value(samples, "jobsd_outage_age_seconds") == 1.25
    assert _value(samples, "jobsd_queue_busy_threads", queue="mail") == 2
    assert _value(samples, "jobsd_queue_busy_threads", queue="night") == 0
    assert _value(samples, "jobsd_queue_enqueued_total", queue="mail") == 4711
    assert _value(samples, "jobsd_desired_workers", queue="mail") == 3
    assert _value(samples, "jobsd_recurring_missed_total", task="heartbeat") == 2
    assert _value(samples, "jobsd_recurring_failed_runs", task="heartbeat") == 1
    assert _value(samples, "jobsd_recurring_disabled", task="heartbeat") == 0
    assert _value(samples, "jobsd_recurring_disabled", task="never") == 1
    next_run = "jobsd_recurring_next_run_timestamp_seconds"
    assert _value(samples, next_run, task="heartbeat") == 1764000300
    assert (next_run, (("task", "never"),)) not in samples


def test_labels_and_numbers_of_any_kind_are_read_back() -> None:
    odd = {'odd "name\\\n': 1e-7, "big": 123456789.0, "none": float("inf"), "100%s {0}": -0.5}
    samples = _samples(TREE, replace(DATABASE, latencies_s=odd, oldest_transaction_s=1e22))

    latencies = {
        dict(labels)["queue"]: value
        for (name, labels), value in samples.items()
        if name == "jobsd_queue_latency_seconds"
    }
    assert {queue: latencies[queue] for queue in odd} == odd
    assert _value(samples, "jobsd_oldest_transaction_seconds") == 1e22


def test_the_trees_metrics_are_written_before_the_database_is_waited_for() -> None:
    seen: list[str] = []

    def answer() -> DatabaseFigures:
        seen.append("answered")
        return DATABASE

    seen.extend(family.name for family in metrics.Scrape(TREE, answer).collect())

    before = seen[: seen.index("answered")]
    assert "jobsd_job_duration_seconds" in before
    assert "jobsd_queue_jobs" not in before
    assert exposition_with(TREE, answer, openmetrics=False) == exposition(TREE, DATABASE)


def test_what_needs_a_tree_or_a_target_is_left_out_without() -> None:
    samples = _samples(None, replace(DATABASE, busy_threads=None, desired_workers=None))

    left_out = {"jobsd_queue_busy_threads", "jobsd_desired_workers"}
    assert not left_out & {name for name, _ in samples}


def test_a_known_queue_without_jobs_has_zeros() -> None:
    none = replace(DATABASE, depths={}, latencies_s={}, claim_ages_s={}, paused=frozenset())
    samples = _samples(TREE, replace(none, busy_threads={}))

    assert _value(samples, "jobsd_queue_jobs", queue="mail", state="blocked") == 0
    assert _value(samples, "jobsd_queue_busy_threads", queue="mail") == 0
    assert _value(samples, "jobsd_queue_latency_seconds", queue="mail") == 0
    assert _value(samples, "jobsd_queue_claim_age_seconds", queue="mail") == 0


def test_a_tree_without_a_dashboard_has_no_family_of_requests() -> None:
    body, _ = exposition(replace(TREE, web_requests={}), DATABASE)

    assert b"jobsd_web_requests" not in body


def test_a_task_that_never_ran_has_no_time_of_its_last_run() -> None:
    samples = _samples(None, DATABASE)

    assert _value(samples, "jobsd_recurring_enqueued_total", task="never") == 0
    assert ("jobsd_recurring_last_run_timestamp_seconds", (("task", "never"),)) not in samples


def test_without_the_database_its_gauges_are_left_out_and_the_counters_stay() -> None:
    samples = _samples(replace(TREE, database_up=False), None)

    assert _value(samples, "jobsd_database_up") == 0
    assert _value(samples, "jobsd_jobs_total", queue="mail", outcome="finished") == 7
    assert not [name for name, _ in samples if name.startswith(("jobsd_queue", "jobsd_heart"))]


def test_figures_of_the_database_are_left_out_during_an_outage() -> None:
    samples = _samples(replace(TREE, database_up=False), DATABASE)

    assert _value(samples, "jobsd_database_up") == 0
    assert not [
        name
        for name, _ in samples
        if name.startswith(("jobsd_queue", "jobsd_processes", "jobsd_process_h"))
    ]


def test_without_a_tree_the_database_alone_is_logged() -> None:
    samples = _samples(None, DATABASE)

    assert _value(samples, "jobsd_database_up") == 1
    assert _value(samples, "jobsd_processes", kind="worker") == 2
    assert not [name for name, _ in samples if name.startswith("jobsd_jobs")]


def test_the_build_is_logged() -> None:
    ((_, labels),) = [key for key in _samples(TREE, DATABASE) if key[0] == "jobsd_build_info"]

    assert {name for name, _ in labels} == {"version", "python", "postgresql"}
    assert dict(labels)["postgresql"] == "18.1"


def test_openmetrics_is_read_by_its_own_parser() -> None:
    body, kind = exposition(TREE, DATABASE, openmetrics=True)

    found = {family.name for family in _parse(body.decode())}
    assert found == {name.removesuffix("_info") for name in NAMES}
    assert kind.startswith("application/openmetrics-text; version=1.0.0")


@pytest.mark.parametrize(
    ("accept", "openmetrics"),
    [
        ("", False),
        ("*/*", False),
        ("text/plain;version=0.0.4;q=0.5,*/*;q=0.1", False),
        ("application/openmetrics-text;version=1.0.0,text/plain;q=0.5", True),
    ],
)
def test_the_form_is_chosen_by_the_accept_header(accept: str, *, openmetrics: bool) -> None:
    assert accepts_openmetrics(accept) is openmetrics


def test_promtool_finds_nothing_to_complain_of() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool (Debian's package prometheus) is not installed")
    body, _ = exposition(TREE, DATABASE)

    checked = subprocess.run(
        [promtool, "check", "metrics"], input=body, capture_output=True, check=False
    )

    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")


def test_a_family_that_is_known_here_is_not_taken_from_a_running_tree() -> None:
    published = [
        Metric("jobsd_recurring_enqueued_total", "the same, by the tree", "counter"),
        Metric("jobsd_processes", "the same, by the tree", "gauge"),
        Metric("jobsd_loop_age_seconds", "what only the tree knows", "gauge"),
    ]

    text = exposition(None, DATABASE, published=published)[0].decode()

    assert "the same" not in text
    assert "what only the tree knows" in text
