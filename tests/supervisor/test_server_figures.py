"""What a scrape finds out of pauses, dispatchers, tables, transactions, health and memory."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import psycopg
import pytest

from enqueueing.placed import enqueue
from jobsd.acts import queues
from jobsd.operations.gauges import database_figures
from jobsd.processes import registry
from jobsd.scoreboard.scoreboard import Scoreboard
from jobsd.supervisor.monitor.tree_figures import tree_figures
from waiting import wait_until

if TYPE_CHECKING:
    from jobsd.database.connection import Session, Target
    from jobsd.enqueueing.client import Client
    from rows import Rows


def test_an_empty_database_is_neither_late_nor_paused(session: Session) -> None:
    figures = database_figures(session)

    assert (figures.dispatch_lag_s, figures.paused) == (0.0, frozenset())


def test_asked_is_set_while_the_server_still_counts(session: Session, target: Target) -> None:
    asked = threading.Event()
    with psycopg.connect(target.url) as holder, ThreadPoolExecutor(1) as threads:
        holder.execute("LOCK jobsd.ready_executions")
        reading = threads.submit(database_figures, session, (), asked=asked.set)
        try:
            assert asked.wait(30)
            assert not reading.done()
        finally:
            holder.rollback()
        assert reading.result(30).paused == frozenset()


def test_a_paused_queue_is_one_without_jobs_too(session: Session) -> None:
    queues.pause("night", session=session)

    assert database_figures(session).paused == {"night"}


@pytest.mark.parametrize(("threshold_s", "there"), [(60, True), (300, False)])
def test_the_health_judges_processes_by_the_threshold_of_the_settings(
    session: Session, threshold_s: float, *, there: bool
) -> None:
    for kind in ("supervisor", "worker"):
        name = registry.new_name(kind)
        registry.register(session, kind=kind, name=name, supervisor_id=0, metadata={})
    session.connection.execute(
        "UPDATE jobsd.processes SET last_heartbeat_at = now() - interval '2 minutes'"
        " WHERE kind = 'worker'"
    )

    figures = database_figures(session, threshold_s=threshold_s)

    assert figures.findings["processes", "warning"] is there
    assert sum(figures.findings.values()) == there


@pytest.mark.parametrize(
    ("targets_s", "late"), [(None, False), ({"mail": 10.0}, True), ({"night": 10.0}, False)]
)
def test_the_health_judges_waits_by_the_targets_of_queues(
    session: Session, default_client: Client, targets_s: dict[str, float] | None, *, late: bool
) -> None:
    del default_client
    for kind in ("supervisor", "worker"):
        name = registry.new_name(kind)
        registry.register(session, kind=kind, name=name, supervisor_id=0, metadata={})
    enqueue("mail")
    session.connection.execute("UPDATE jobsd.jobs SET created_at = now() - interval '30 s'")

    figures = database_figures(session, targets_s=targets_s)

    assert figures.findings["late", "warning"] is late


def test_dispatchers_are_as_late_as_the_oldest_job_that_is_due(
    session: Session, rows: Rows
) -> None:
    for number, due in enumerate(("now() - interval '90 s'", "now() + interval '1 day'")):
        values = f"VALUES ({number}, {due}, 0, 'mail')"
        rows(f"INSERT INTO jobsd.scheduled_executions {values} RETURNING 1")

    assert 90 <= database_figures(session).dispatch_lag_s < 3600


def test_each_of_our_tables_has_its_size_and_no_other(session: Session) -> None:
    tables = database_figures(session).tables

    assert {"jobs", "ready_executions", "schema_migrations"} <= tables.keys()
    assert "pg_class" not in tables
    assert tables["schema_migrations"].bytes >= 8192


def test_a_transaction_that_is_open_gets_old(session: Session) -> None:
    url = session.target.url
    with psycopg.connect(url) as oldest, psycopg.connect(url) as younger:
        _age_s(oldest)
        wait_until(lambda: _age_s(oldest) > 0.2)
        younger.execute("SELECT 1")
        least_s = _age_s(oldest)
        found_s = database_figures(session).oldest_transaction_s
        most_s = _age_s(oldest)
    then_s = database_figures(session).oldest_transaction_s

    assert least_s <= found_s <= most_s
    assert then_s == 0, "both are over"


def _age_s(connection: psycopg.Connection) -> float:
    """Return how old the transaction of a connection is; its statement has just begun."""
    age = "SELECT extract(epoch FROM clock_timestamp() - now())::float8"
    row = connection.execute(age.encode()).fetchone()
    assert row is not None
    return float(row[0])


def test_the_memory_of_a_living_process_is_known_by_its_number() -> None:
    scoreboard = Scoreboard()
    for number, pid in ((1, os.getpid()), (2, 2**22 + 1)):
        entry = scoreboard.entries[number - 1]
        entry.take("worker", f"worker-{number}", number)
        entry.pid = pid
        entry.tick()

    sizes = tree_figures(scoreboard).resident_bytes

    assert sizes.keys() == {("worker", "1")}, "the other one has just ended"
    assert sizes["worker", "1"] > 1_000_000


_FAIL_RUNS = """
WITH task AS (
    INSERT INTO jobsd.recurring_tasks (key, schedule) VALUES (%s, 'every hour') RETURNING key
), run AS (
    INSERT INTO jobsd.recurring_executions (task_key, run_at, job_id)
    SELECT key, now() - (ago || ' h')::interval, %s + ago
    FROM task, generate_series(1, 8) AS ago
    RETURNING job_id
)
INSERT INTO jobsd.failed_executions (job_id, error)
SELECT %s + ago, '{}' FROM unnest(%s::int[]) AS ago
"""


def test_failures_among_the_last_five_runs_of_a_task_are_counted(
    session: Session, rows: Rows
) -> None:
    for key, base, failed in (
        ("well", 0, []),
        ("ill", 100, [1, 4, 5, 6, 8]),
        ("new", 200, [7]),
    ):
        rows(_FAIL_RUNS, key, base, base, failed)

    tasks = database_figures(session).tasks

    assert {key: runs.failed for key, runs in tasks.items()} == {"well": 0, "ill": 3, "new": 0}


def test_a_deleted_or_retried_failed_job_no_longer_counts_for_its_task(
    session: Session, rows: Rows
) -> None:
    rows(_FAIL_RUNS, "ill", 100, 100, [1, 2])
    rows("DELETE FROM jobsd.failed_executions WHERE job_id = 102")

    assert database_figures(session).tasks["ill"].failed == 1


def test_a_task_that_is_off_has_no_next_run(session: Session, rows: Rows) -> None:
    rows(
        "INSERT INTO jobsd.recurring_tasks (key, schedule, enabled)"
        " VALUES ('on', 'every hour', true), ('off', 'every hour', false) RETURNING 1"
    )

    tasks = database_figures(session).tasks

    assert {key: task.next_at is not None for key, task in tasks.items()} == {
        "on": True,
        "off": False,
    }
