"""The rows of the tree are kept true, and those of trees that are gone are settled."""

from __future__ import annotations

import json
import os
import signal
from typing import TYPE_CHECKING, Any

import pytest

from harness.job_rows import (
    assert_only_job_is,
    claim,
    failure,
    make_jobs,
    places,
    process_names,
)
from harness.monitor_options import make_options
from harness.played_tree import PlayedTree, tree_on
from jobsd.processes import registry
from jobsd.scoreboard.entry import UP
from jobsd.scoreboard.thresholds import Thresholds
from jobsd.supervisor.monitor import database_thread
from jobsd.supervisor.monitor.heartbeats import Beat, Survey, leave, write_heartbeats
from waiting import Stopwatch, wait_until

if TYPE_CHECKING:
    from jobsd.database.connection import Session, Target

NOBODY = 2**22 + 1


def _row(session: Session, name: str, pid: int, **metadata: Any) -> int:
    said = Thresholds(0.2, 1, 0.5).metadata()
    known = {**registry.identity(os.getpid()), **said, "started": "1", "threads": 2}
    identity = {**known, **metadata}
    row = session.connection.execute(
        "INSERT INTO jobsd.processes (kind, name, pid, hostname, metadata)"
        " VALUES ('worker', %s, %s, 'elsewhere', %s) RETURNING id",
        (name, pid, json.dumps(identity)),
    ).fetchone()
    assert row is not None
    return int(row[0])


def _pause() -> int:
    """Start a process that does nothing; return its id."""
    pid = os.fork()
    if pid == 0:
        while True:
            signal.pause()
    return pid


def _kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def _age_s(session: Session, name: str) -> float:
    rows = registry.processes(session)
    return next(row.heartbeat_age_s for row in rows if row.name == name)


@pytest.mark.behaviour(11)
def test_supervisor_and_monitor_are_registered(tree: PlayedTree, session: Session) -> None:
    monitor = tree.start_monitor()

    rows = {row.kind: row for row in registry.processes(session)}
    supervisor = rows["supervisor"]
    assert (supervisor.name, supervisor.pid) == (tree.scoreboard.supervisor_name, os.getpid())
    assert supervisor.id == tree.scoreboard.supervisor_row
    assert (rows["monitor"].id, rows["monitor"].pid) == (monitor.row_id, monitor.pid)
    assert rows["monitor"].supervisor_id == supervisor.id


def test_a_second_monitor_writes_no_second_supervisor(
    tree: PlayedTree, session: Session
) -> None:
    first = tree.start_monitor()
    tree.kill(first)
    tree.reap(first)

    tree.start_monitor()
    tree.survey_passes()

    kinds = sorted(row.kind for row in registry.processes(session))
    assert kinds == ["monitor", "supervisor"]


@pytest.mark.behaviour(12)
def test_the_heartbeat_of_a_process_is_that_of_its_loop(
    tree: PlayedTree, session: Session
) -> None:
    tree.start_monitor()
    moving, standing = tree.start_worker(), tree.start_worker()
    tree.kill(standing, signal.SIGSTOP)

    def are_distinct() -> bool:
        ages_s = {row.name: row.heartbeat_age_s for row in registry.processes(session)}
        return ages_s[standing.name] > 1 and ages_s[moving.name] < 0.7

    wait_until(are_distinct)


@pytest.mark.behaviour(12)
def test_the_heartbeat_of_the_supervisor_is_that_of_its_loop(
    tree: PlayedTree, session: Session
) -> None:
    tree.start_monitor()

    wait_until(lambda: _age_s(session, tree.scoreboard.supervisor_name) > 0.5)
    query = b"SELECT last_heartbeat_at FROM jobsd.processes WHERE kind = 'supervisor'"
    before = session.connection.execute(query).fetchone()
    tree.scoreboard.tick()
    # Not young at once: a busy machine lets it get old before we look.
    later = query + b" AND last_heartbeat_at > %s + interval '0.3 s'"
    wait_until(lambda: session.connection.execute(later, before).fetchone())


@pytest.mark.behaviour(13)
def test_a_process_with_a_deleted_row_learns_it(tree: PlayedTree, session: Session) -> None:
    tree.start_monitor()
    one, other = tree.start_worker(), tree.start_worker()

    session.connection.execute("DELETE FROM jobsd.processes WHERE id = %s", (one.row_id,))

    wait_until(lambda: one.row_lost)
    assert not other.row_lost
    reported = tree.wait_only_event("process.deregistered")
    assert (reported["kind"], reported["process"]) == ("worker", one.name)


def test_a_tree_that_ends_leaves_no_row_that_names_its_supervisor(session: Session) -> None:
    supervisor, late = _row(session, "supervisor-of-it", 1), _row(session, "worker-late", 2)
    other = _row(session, "worker-of-others", 3)
    session.connection.execute(
        "UPDATE jobsd.processes SET supervisor_id = %s WHERE id = %s", (supervisor, late)
    )

    leave(session, [supervisor], [], supervisor)

    left = session.connection.execute("SELECT id FROM jobsd.processes").fetchall()
    assert left == [(other,)]


@pytest.mark.behaviour(32)
@pytest.mark.parametrize("kinds", [["supervisor", "monitor"], ["supervisor"], ["monitor"]])
def test_supervisor_and_monitor_write_deleted_rows_again(
    tree: PlayedTree, session: Session, kinds: list[str]
) -> None:
    monitor = tree.start_monitor()
    before = process_names(session)

    session.connection.execute("DELETE FROM jobsd.processes WHERE kind = ANY (%s)", (kinds,))

    wait_until(lambda: process_names(session) == before)
    wait_until(lambda: tree.scoreboard.supervisor_row and monitor.row_id)
    assert monitor.state == UP


@pytest.mark.behaviour(11)
def test_children_that_registered_before_their_supervisor_come_to_belong_to_it(
    tree: PlayedTree, session: Session
) -> None:
    worker = tree.start_worker()
    tree.start_monitor()

    def belongs() -> bool:
        rows = {row.name: row for row in registry.processes(session)}
        return rows[worker.name].supervisor_id == tree.scoreboard.supervisor_row

    wait_until(belongs)


@pytest.mark.behaviour(28)
def test_claims_of_a_dead_tree_are_recovered_at_the_start(
    tree: PlayedTree, session: Session
) -> None:
    one, two, three = make_jobs(session, 3)
    claim(session, _row(session, "dead", NOBODY), [one, two, three])

    tree.start_monitor()

    # Two threads, so the first two may have run.
    wait_until(lambda: "dead" not in process_names(session))
    assert places(session) == {one: "failed", two: "failed", three: "ready"}
    assert failure(session, one)["type"] == "ProcessExitError"


@pytest.mark.behaviour(29)
def test_a_neighbour_that_dies_is_recovered_within_a_second(
    target: Target, session: Session
) -> None:
    with tree_on(target, heartbeat_interval_s=60) as tree:
        (job,) = make_jobs(session, 1)
        pid = os.fork()
        if pid == 0:
            signal.pause()
        started = registry.start_time(pid)
        claim(session, _row(session, "near", pid, started=started), [job])
        tree.start_monitor()
        assert "near" in process_names(session)

        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)

        wait_until(lambda: "near" not in process_names(session), within_s=1.5)
        assert_only_job_is(session, job, "failed")


@pytest.mark.failure(
    "A worker is killed, and a monitor of another tree on this machine sees it first.",
    "Its own tree settles its jobs, since it knows which of them ran, and how they ended.",
)
@pytest.mark.behaviour(29)
def test_a_neighbour_that_dies_is_left_to_its_tree_as_long_as_that_lives(
    target: Target, session: Session
) -> None:
    (job,) = make_jobs(session, 1)
    supervisor, worker = _pause(), _pause()
    with tree_on(target) as tree:
        started = registry.start_time(worker)
        metadata = {"started": started, **registry.below(supervisor)}
        claim(session, _row(session, "near", worker, **metadata), [job])
        tree.start_monitor()
        _kill(worker)

        tree.survey_passes(4)

        assert_only_job_is(session, job, "claimed")
        _kill(supervisor)
        wait_until(lambda: "near" not in process_names(session), within_s=1.5)
        assert_only_job_is(session, job, "failed")


def test_the_rows_of_a_tree_name_their_supervisor(tree: PlayedTree, session: Session) -> None:
    tree.start_monitor()
    tree.start_worker()

    said = {row.kind: row.metadata.get("supervisor") for row in registry.processes(session)}
    ours = {"pid": os.getpid(), "started": registry.start_time(os.getpid())}
    assert said == {"supervisor": None, "monitor": ours, "worker": ours}


@pytest.mark.behaviour(14, 29)
def test_a_process_elsewhere_that_stands_still_is_pruned(
    target: Target, session: Session
) -> None:
    ran, other, waited = make_jobs(session, 3)
    claim(session, _row(session, "far", NOBODY, boot="another"), [ran, other, waited])
    with tree_on(target, process_alive_threshold_s=1) as tree:
        watch = Stopwatch()
        tree.start_monitor()

        wait_until(lambda: "far" not in process_names(session))

        assert 2.5 < watch.took() < 4.5
        assert places(session) == {ran: "failed", other: "failed", waited: "ready"}
        error = failure(session, ran)
        assert error["type"] == "ProcessPrunedError"
        assert error["message"].startswith("the heartbeat of worker far (pid")
        reported = tree.wait_only_event("process.pruned")
        assert (reported["process"], reported["failed"], reported["released"]) == ("far", 2, 1)


@pytest.mark.behaviour(14)
def test_a_process_elsewhere_that_beats_is_left_alone(
    target: Target, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    (job,) = make_jobs(session, 1)
    row_id = _row(session, "far", NOBODY, boot="another")
    claim(session, row_id, [job])
    beat = "UPDATE jobsd.processes SET last_heartbeat_at = clock_timestamp() WHERE id = %s"

    def survey_once_it_has_beaten(monitors: Session, beats: list[Beat]) -> Survey:
        monitors.connection.execute(beat, (row_id,))
        return write_heartbeats(monitors, beats)

    # The monitor inherits it: beats of the test's own would be late whenever the test is.
    monkeypatch.setattr(database_thread, "write_heartbeats", survey_once_it_has_beaten)
    with tree_on(target, process_alive_threshold_s=1) as tree:
        tree.start_monitor()
        tree.survey_passes(16)

    assert_only_job_is(session, job, "claimed")
    assert "far" in process_names(session)


@pytest.mark.failure(
    "A whole tree stands still for longer than `process_alive_threshold`, and continues.",
    "Another tree prunes it, and its jobs continue there; when it continues, it registers"
    " again by itself.",
)
@pytest.mark.behaviour(15)
def test_a_frozen_tree_is_pruned_by_another_and_comes_back(
    target: Target, session: Session
) -> None:
    short = make_options(target, process_alive_threshold_s=1, hang_timeout_s=0.5)
    with tree_on(target, short) as frozen, tree_on(target, short) as other:
        (job,) = make_jobs(session, 1)
        monitor = frozen.start_monitor()
        worker = frozen.start_worker(job, running=(job,))
        for entry in (monitor, worker):
            frozen.kill(entry, signal.SIGSTOP)
        other.start_monitor()

        wait_until(lambda: frozen.scoreboard.supervisor_name not in process_names(session))
        wait_until(lambda: worker.name not in process_names(session))
        assert failure(session, job)["type"] == "ProcessPrunedError"

        for entry in (monitor, worker):
            frozen.kill(entry, signal.SIGCONT)
        wait_until(lambda: frozen.scoreboard.supervisor_name in process_names(session))
        wait_until(lambda: worker.row_lost)


def test_the_idle_registration_of_a_dead_worker_is_deleted(
    tree: PlayedTree, session: Session
) -> None:
    session.connection.execute("INSERT INTO jobsd.sleepers VALUES (-1, 'worker')")

    tree.start_monitor()

    asleep = "SELECT FROM jobsd.sleepers"
    wait_until(lambda: session.connection.execute(asleep).rowcount == 0)


@pytest.mark.failure(
    "A claim is left whose process has no row.",
    "It is settled once it has been seen for an interval",
)
@pytest.mark.behaviour(28)
def test_orphaned_claims_are_recovered_once_seen_for_an_interval(
    tree: PlayedTree, session: Session
) -> None:
    jobs = make_jobs(session, 5)
    tree.start_monitor()

    claim(session, 123456789, jobs)

    wait_until(lambda: "claimed" not in places(session).values())
    assert [places(session)[job] for job in jobs] == ["failed"] * 3 + ["ready"] * 2
    assert failure(session, jobs[0])["type"] == "ProcessMissingError"


def test_orphaned_claims_are_left_until_seen_for_an_interval(
    target: Target, session: Session
) -> None:
    jobs = make_jobs(session, 2)
    with tree_on(target, heartbeat_interval_s=3600) as tree:
        claim(session, 123456789, jobs)
        monitor = tree.start_monitor()
        # After a death it looks once more: so it has seen them twice.
        for _ in range(2):
            worker = tree.start_worker()
            tree.destroy(worker, monitor)
            tree.survey_passes(1)

        assert places(session) == dict.fromkeys(jobs, "claimed")


def test_claims_of_our_own_process_without_a_row_are_its_own(
    tree: PlayedTree, session: Session
) -> None:
    (job,) = make_jobs(session, 1)
    tree.start_monitor()
    worker = tree.start_worker(job, running=(job,))

    session.connection.execute("DELETE FROM jobsd.processes WHERE id = %s", (worker.row_id,))
    wait_until(lambda: worker.row_lost)
    tree.survey_passes(4)

    assert_only_job_is(session, job, "claimed")
