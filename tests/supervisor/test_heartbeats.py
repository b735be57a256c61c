"""What a look at the database writes, the heartbeats of a tree, and how often it is taken."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from harness.job_rows import claim, make_jobs
from harness.played_tree import tree_on
from jobsd.acts import inspect, listing
from jobsd.acts.listing import Filter
from jobsd.clock import monotonic_ns, utc_now
from jobsd.processes import registry
from jobsd.supervisor.monitor.heartbeats import Beat, write_heartbeats
from waiting import Stopwatch, wait_until

if TYPE_CHECKING:
    from harness.played_tree import PlayedTree
    from jobsd.database.connection import Session, Target


@pytest.mark.parametrize(
    ("age_before_s", "age_s"),
    [
        pytest.param(50, 30, id="one that comes round goes on"),
        pytest.param(10, 10, id="one that has just beaten by itself is not set back"),
        pytest.param(-3600, 30, id="one goes back when the clock has"),
    ],
)
def test_a_heartbeat_goes_back_only_after_the_clock_has(
    session: Session, age_before_s: int, age_s: int
) -> None:
    row_id = registry.register(
        session, kind="worker", name="worker-thawed", supervisor_id=0, metadata={}
    )
    session.connection.execute(
        "UPDATE jobsd.processes SET last_heartbeat_at = now() - make_interval(secs => %s)",
        (age_before_s,),
    )

    seen = write_heartbeats(session, [Beat(row_id, monotonic_ns() - 30 * 10**9, 0)])

    (process,) = registry.processes(session)
    assert seen.beaten == {row_id}
    assert process.heartbeat_age_s == pytest.approx(age_s, abs=5)


def test_a_heartbeat_stores_the_start_of_each_running_job(
    session: Session,
) -> None:
    runs, waits = make_jobs(session, 2)
    row_id = registry.register(
        session, kind="worker", name="worker-busy", supervisor_id=0, metadata={}
    )
    claim(session, row_id, [runs, waits])

    write_heartbeats(session, [Beat(row_id, monotonic_ns(), 0, {runs: 90.0})])

    listed_jobs = {job.id: job.started_at for job in listing.listed(session, Filter()).jobs}
    shown = {each: inspect.find(session, each).job.started_at for each in (runs, waits)}
    assert listed_jobs == shown
    assert shown[waits] is None
    assert (utc_now() - (shown[runs] or utc_now())).total_seconds() == pytest.approx(90, abs=5)

    write_heartbeats(session, [Beat(row_id, monotonic_ns(), 0)])

    assert inspect.find(session, runs).job.started_at is None


def test_a_heartbeat_stores_load_and_memory_of_the_machine_once_for_a_tree(
    session: Session,
) -> None:
    root = registry.register(
        session, kind="supervisor", name="supervisor-here", supervisor_id=0, metadata={}
    )
    child = registry.register(
        session, kind="worker", name="worker-here", supervisor_id=root, metadata={}
    )

    write_heartbeats(
        session, [Beat(root, monotonic_ns(), 0), Beat(child, monotonic_ns(), root)]
    )

    stored = {each.id: each.machine for each in registry.processes(session)}
    figures = stored[root]
    assert stored[child] is None
    assert figures is not None
    assert 0 < figures["used_bytes"] < figures["memory_bytes"]
    assert figures["cpus"] >= 1
    assert figures["load"] >= 0


def test_a_process_knows_which_of_its_ticks_its_heartbeat_stands_for(tree: PlayedTree) -> None:
    tree.start_monitor()
    moving, standing = tree.start_worker(), tree.start_worker()
    wait_until(lambda: standing.heartbeat_ns)
    tree.kill(standing, signal.SIGSTOP)
    stood_at_ns = monotonic_ns()

    wait_until(lambda: moving.heartbeat_ns > stood_at_ns)
    tree.survey_passes()

    assert 0 < standing.heartbeat_ns == standing.ticked_ns
    assert moving.heartbeat_ns <= moving.ticked_ns


def test_an_idle_monitor_sends_one_statement_each_interval(
    target: Target, session: Session
) -> None:
    query = (
        "SELECT coalesce(sum(calls), 0) FROM pg_stat_statements JOIN pg_database"
        " ON oid = dbid WHERE datname = current_database() AND query ~ 'beaten'"
    )
    others = query.replace("query ~ 'beaten'", "query !~ 'beaten|pg_stat_statements|xmin'")
    try:
        session.connection.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
        session.connection.execute("SELECT pg_stat_statements_reset()")
    except Exception as error:  # noqa: BLE001 - whatever hinders it
        pytest.skip(f"pg_stat_statements is not to be had here: {error}")
    with tree_on(target, heartbeat_interval_s=0.2) as tree:
        tree.start_monitor()
        tree.survey_passes(2)

        def sent(which: str) -> int:
            row = session.connection.execute(which.encode()).fetchone()
            assert row is not None
            return int(row[0])

        watch = Stopwatch()
        before, rest = sent(query), sent(others)
        tree.survey_passes(5)
        surveys = sent(query) - before

        assert 5 <= surveys <= watch.took() / 0.2 + 1
        assert sent(others) == rest
