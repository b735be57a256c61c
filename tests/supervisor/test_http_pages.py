"""What a monitor says over HTTP, in good times and bad."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import pytest
from prometheus_client.openmetrics import parser as openmetrics_parser

from harness.job_rows import make_jobs
from harness.monitor_options import beating
from harness.monitor_pages import ask, metrics, seconds
from harness.played_tree import PlayedTree, tree_on
from jobsd.operations import health
from jobsd.supervisor.monitor import database_thread, scraping
from outages.cluster import cluster
from waiting import wait_until

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from jobsd.database.connection import Session, Target
    from jobsd.processes.context import Context


def _work(queue: str, count: int) -> Callable[[Context, Session], None]:
    def work(context: Context, _: Session) -> None:
        counters = context.entry.queue(queue)
        counters.count("finished", count)
        counters.observe(waits_s=[0.01], runs_s=[0.2])
        context.entry.count_dropped_lines(1)

    return work


def test_metrics_are_of_database_and_shared_memory(
    monitored: PlayedTree, listener: socket.socket, session: Session
) -> None:
    jobs = make_jobs(session, 3, queue_name="mail")
    session.connection.execute(
        "INSERT INTO jobsd.ready_executions (job_id, position, priority, queue_name)"
        " SELECT id, id, 0, 'mail' FROM unnest(%s::bigint[]) AS id",
        (jobs,),
    )
    monitored.start_worker(live=_work("mail", 5))

    found = metrics(listener)

    assert found["jobsd_queue_jobs", (("queue", "mail"), ("state", "ready"))] == 3
    assert found["jobsd_jobs_total", (("outcome", "finished"), ("queue", "mail"))] == 5
    assert found["jobsd_job_duration_seconds_count", (("queue", "mail"),)] == 1
    assert found["jobsd_processes", (("kind", "worker"),)] == 1
    assert found["jobsd_worker_threads", (("state", "idle"),)] == 3
    assert found["jobsd_database_up", ()] == 1


def test_each_finding_of_the_health_has_a_series_and_is_1_while_it_is_there(
    monitored: PlayedTree, listener: socket.socket, session: Session
) -> None:
    (late,) = make_jobs(session, 1)
    session.connection.execute(
        "INSERT INTO jobsd.scheduled_executions (job_id, scheduled_at, priority, queue_name)"
        " VALUES (%s, now() - interval '4 minutes', 0, 'default')",
        (late,),
    )
    session.connection.execute("INSERT INTO jobsd.pauses (queue_name) VALUES ('mail')")
    monitored.start_worker(live=_work("mail", 5))

    found = metrics(listener)

    by_name = {
        (dict(labels)["finding"], dict(labels)["severity"]): there
        for (name, labels), there in found.items()
        if name == "jobsd_health_finding"
    }
    assert by_name.keys() == set(health.SEVERITIES.items())
    assert {name for name, there in by_name.items() if there} == {
        ("no_dispatcher", "bad"),
        ("paused", "warning"),
    }


def test_threads_are_busy_with_the_queues_of_their_jobs(
    monitored: PlayedTree, listener: socket.socket, session: Session
) -> None:
    mail, night = make_jobs(session, 2, queue_name="mail"), make_jobs(session, 1)
    monitored.start_worker(*mail, running=tuple(mail))
    monitored.start_worker(*night, running=tuple(night))

    found = metrics(listener)

    assert found["jobsd_queue_busy_threads", (("queue", "mail"),)] == 2
    assert found["jobsd_queue_busy_threads", (("queue", "default"),)] == 1


def test_classes_errors_and_troubles_are_summed_over_all_processes(
    monitored: PlayedTree, listener: socket.socket
) -> None:
    def work(context: Context, _: Session) -> None:
        entry = context.entry
        welcome = entry.job_class("shop.welcome")
        welcome.count("finished", 5)
        welcome.observe(waits_s=[], runs_s=[0.2] * 5)
        entry.count_failure("shop.Refused", "retried")
        entry.claims_lost += 2
        entry.prunes += 1

    for _ in range(2):
        monitored.start_worker(live=work)
    monitored.scoreboard.outages, monitored.scoreboard.outage_ns = 3, 4_500_000_000

    found = metrics(listener)

    of_class = ("class", "shop.welcome")
    assert found["jobsd_class_jobs_total", (of_class, ("outcome", "finished"))] == 10
    assert found["jobsd_class_duration_seconds_sum", (of_class,)] == pytest.approx(2)
    refused = (("error", "shop.Refused"), ("outcome", "retried"))
    assert found["jobsd_failures_total", refused] == 2
    assert found["jobsd_claims_lost_total", ()] == 4
    assert found["jobsd_prunes_total", ()] == 2
    assert (found["jobsd_outages_total", ()], found["jobsd_outage_seconds_total", ()]) == (
        3,
        4.5,
    )


def test_metrics_are_clean_by_promtools_judgement(
    monitored: PlayedTree, listener: socket.socket
) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool (Debian's package prometheus) is not installed")
    monitored.start_worker(live=_work("mail", 5))
    _, body, _ = ask(listener, "/metrics")

    checked = subprocess.run(
        [promtool, "check", "metrics"], input=body.encode(), capture_output=True, check=False
    )

    assert (checked.returncode, checked.stdout + checked.stderr) == (0, b"")


def test_openmetrics_is_served_on_request(
    monitored: PlayedTree, listener: socket.socket
) -> None:
    monitored.start_worker(live=_work("mail", 5))

    _, body, reply = ask(listener, "/metrics", "application/openmetrics-text;version=1.0.0")

    parse = cast(
        "Callable[[str], Any]",
        openmetrics_parser.text_string_to_metric_families,  # pyright: ignore[reportUnknownMemberType]
    )
    assert {"jobsd_jobs", "jobsd_build"} <= {family.name for family in parse(body)}
    assert (reply.getheader("Content-Type") or "").startswith("application/openmetrics-text")


def test_counters_never_decrease_when_processes_are_replaced(
    target: Target, listener: socket.socket
) -> None:
    finished = ("jobsd_jobs_total", (("outcome", "finished"), ("queue", "mail")))
    dropped = ("jobsd_log_lines_dropped_total", ())
    seen: list[tuple[float, float]] = []
    with tree_on(target) as tree:
        monitor = tree.start_monitor(listener)
        for _ in range(3):
            worker = tree.start_worker(live=_work("mail", 5))
            found = metrics(listener)
            seen.append((found[finished], found[dropped]))
            tree.destroy(worker, monitor)
            tree.kill(monitor)
            tree.reap(monitor)
            monitor = tree.start_monitor(listener)
            found = metrics(listener)
            seen.append((found[finished], found[dropped]))

    assert seen == [(5, 1), (5, 1), (10, 2), (10, 2), (15, 3), (15, 3)]


def test_a_scrape_that_finds_no_database_reports_it_before_the_monitor_does(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scraping, "FIGURES_AGE_S", 0.0)
    # Else the monitor would look at the database again while this test goes on.
    monkeypatch.setattr(database_thread, "SECOND_SURVEY_S", 60.0)
    with cluster() as server:
        # Without notifications: who listens hears at once that its connection is gone.
        target = replace(server.start_with_tables(), wakeups="off")
        with tree_on(target, heartbeat_interval_s=60.0) as tree:
            tree.start_monitor(listener)
            tree.start_worker()
            wait_until(lambda: metrics(listener)["jobsd_database_up", ()] == 1)

            server.stop()

            wait_until(lambda: metrics(listener)["jobsd_database_up", ()] == 0)
            assert tree.scoreboard.database_up == 1


@pytest.mark.failure(
    "The database hangs while clients request health and metrics.",
    "Health is answered at once, and metrics within a bounded time, with the figures of"
    " shared memory",
)
def test_a_frozen_database_holds_up_no_health_check_and_only_bounds_a_scrape(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The monitor inherits these: no need to wait for as long as in earnest.
    monkeypatch.setattr(scraping, "FIGURES_AGE_S", 0.5)
    monkeypatch.setattr(database_thread, "DEADLINE_S", 1.0)
    with cluster() as server:
        target = server.start_with_tables()
        with tree_on(target, beating(target)) as tree:
            tree.start_monitor(listener)
            tree.start_worker(live=_work("mail", 5))
            metrics(listener)
            server.freeze()

            assert seconds(listener, "/livez") < 0.1
            assert seconds(listener, "/readyz") < 0.1
            assert seconds(listener, "/healthz") < 0.1

            wait_until(lambda: not tree.scoreboard.database_up)
            gauge = ("jobsd_processes", (("kind", "worker"),))
            wait_until(lambda: gauge not in metrics(listener))
            assert seconds(listener, "/metrics") < 3
            found = metrics(listener)
            assert found["jobsd_database_up", ()] == 0
            assert found["jobsd_jobs_total", (("outcome", "finished"), ("queue", "mail"))] == 5
