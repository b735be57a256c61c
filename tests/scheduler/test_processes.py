"""Schedulers that are killed, frozen, or many enqueue each planned instant exactly once."""

from __future__ import annotations

import contextlib
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import psycopg
import pytest

from harness.tree import ENDS_WITH_US
from waiting import wait_until

from .conftest import RUNS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobsd.database.connection import Target
    from rows import Rows

ALONE = [*ENDS_WITH_US, sys.executable, str(Path(__file__).with_name("alone.py"))]

TWICE = (
    "SELECT (SELECT count(*) FROM jobsd.jobs)"
    " - (SELECT count(DISTINCT job_id) FROM jobsd.recurring_executions)"
)
GAPS = (
    "SELECT task_key, array_agg(step ORDER BY run_at) FILTER (WHERE step > 1)"
    " FROM (SELECT task_key, run_at, extract(epoch FROM run_at - lag(run_at) OVER ("
    "   PARTITION BY task_key ORDER BY run_at))::int AS step"
    "   FROM jobsd.recurring_executions WHERE job_id IS NOT NULL) AS run"
    " GROUP BY task_key ORDER BY task_key"
)


class Start(Protocol):
    def __call__(self, *tasks: str) -> subprocess.Popen[bytes]: ...


@pytest.fixture
def start(target: Target) -> Iterator[Start]:
    started: list[subprocess.Popen[bytes]] = []

    def run(*tasks: str) -> subprocess.Popen[bytes]:
        started.append(subprocess.Popen([*ALONE, target.url, *tasks]))
        return started[-1]

    yield run
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGCONT)
        process.kill()
        process.wait()


@pytest.mark.behaviour(79)
def test_every_instant_runs_once_while_schedulers_are_killed_and_frozen(
    start: Start, rows: Rows
) -> None:
    dice = random.Random(7)  # noqa: S311 - the same dice each time
    tasks = [f"task-{n}:all" for n in range(20)]
    living = [start(*tasks), start(*tasks)]
    wait_until(lambda: rows(RUNS) != [0])

    for round_ in range(1, 5):
        victim = living.pop(dice.randrange(2))
        victim.send_signal(signal.SIGKILL if round_ % 2 else signal.SIGSTOP)
        living.append(start(*tasks))
        seen = rows(RUNS)[0]
        wait_until(lambda seen=seen: rows(RUNS)[0] > seen)  # type: ignore[misc]
        victim.send_signal(signal.SIGCONT)
    wanted = rows(RUNS)[0] + 40
    wait_until(lambda: rows(RUNS)[0] >= wanted)

    assert rows(TWICE) == [0]
    assert rows(GAPS) == [(f"task-{n}", None) for n in sorted(range(20), key=str)]


@pytest.mark.behaviour(86)
def test_runs_missed_by_a_frozen_scheduler_follow_on_missed(start: Start, rows: Rows) -> None:
    process = start("all:all", "once:once", "skip:skip")
    wait_until(lambda: rows(RUNS)[0] >= 3)

    process.send_signal(signal.SIGSTOP)
    (before,) = rows("SELECT clock_timestamp()")
    wait_until(lambda: rows("SELECT clock_timestamp() > %s + interval '5 s'", before)[0])
    process.send_signal(signal.SIGCONT)
    (after,) = rows("SELECT clock_timestamp()")
    wait_until(lambda: rows(f"{RUNS} AND run_at > %s", after)[0] >= 6)
    # On a busy machine it polls a while after it was thawed.
    (settled,) = rows(
        "SELECT min(created_at) FROM jobsd.recurring_executions WHERE run_at > %s", before
    )

    counts = dict(
        rows(
            "SELECT task_key, count(*) FROM jobsd.recurring_executions WHERE job_id IS NOT NULL"
            " AND run_at > %s AND run_at <= %s GROUP BY task_key",
            before,
            settled,
        )
    )
    (instants,) = rows(
        "SELECT count(*) FROM generate_series(date_trunc('second', %s::timestamptz),"
        " %s::timestamptz, interval '1 s') AS instant WHERE instant > %s",
        before,
        settled,
        before,
    )
    assert counts["all"] == instants
    # Within the last two seconds nothing counts as missed.
    assert counts["skip"] in {1, 2, 3}
    assert counts["once"] == counts["skip"] + 1


def test_a_statement_that_outlives_its_scheduler_counts(
    start: Start, rows: Rows, target: Target
) -> None:
    with psycopg.connect(target.url) as lock:
        lock.execute("LOCK TABLE jobsd.recurring_executions IN SHARE ROW EXCLUSIVE MODE")
        first, _ = start("tick:all"), start("tick:all")
        waiting = (
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE wait_event_type = 'Lock' AND application_name LIKE 'jobsd scheduler%%'"
            " AND datname = current_database()"
        )
        # Both are up before one is stopped: its statement waits for some seconds only.
        wait_until(lambda: rows(waiting) == [2])
        # Stopped for good: of a client that is gone, the server ends the statement itself.
        first.send_signal(signal.SIGSTOP)
        lock.rollback()

    wait_until(lambda: rows(RUNS)[0] >= 3)
    first.kill()

    assert (rows(TWICE), rows(GAPS)) == ([0], [("tick", None)])


def test_a_scheduler_stops_when_it_is_asked_to(start: Start, rows: Rows) -> None:
    process = start("tick")
    wait_until(lambda: rows("SELECT count(*) FROM jobsd.processes") == [1])

    process.terminate()

    wait_until(lambda: process.poll() is not None, 30)
    assert process.returncode == 0
    assert rows("SELECT count(*) FROM jobsd.processes") == [0]


def test_an_outage_of_the_database_is_waited_out(start: Start, rows: Rows) -> None:
    process = start("tick:all")
    wait_until(lambda: rows(RUNS) != [0])

    for _ in range(3):
        rows(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name LIKE 'jobsd scheduler%%'"
            " AND datname = current_database()"
        )
        seen = rows(RUNS)[0]
        wait_until(lambda seen=seen: rows(RUNS)[0] > seen)  # type: ignore[misc]

    assert (process.poll(), rows(TWICE), rows(GAPS)) == (None, [0], [("tick", None)])
