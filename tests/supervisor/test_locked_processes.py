"""Somebody holds the row of a process locked: that process waits, and nobody else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest

from harness.job_rows import assert_only_job_is, claim, make_jobs, process_names, worker_row
from jobsd.clock import monotonic_ns
from jobsd.processes import registry
from jobsd.scoreboard.entry import FREE
from jobsd.scoreboard.scoreboard import Scoreboard
from jobsd.supervisor.monitor.heartbeats import Beat, write_heartbeats
from jobsd.supervisor.recovery.peers import PeerProcess, Peers
from jobsd.supervisor.recovery.recovery import Recovery
from waiting import Stopwatch, wait_until

if TYPE_CHECKING:
    from harness.played_tree import PlayedTree
    from jobsd.database.connection import Session, Target

_LOCK = "SELECT FROM jobsd.processes WHERE id = %s FOR UPDATE"
_DELETE = "DELETE FROM jobsd.processes WHERE id = %s"


@pytest.mark.parametrize("what", [_LOCK, _DELETE])
def test_heartbeats_pass_over_a_row_that_is_locked(session: Session, what: str) -> None:
    one, other = worker_row(session, "one"), worker_row(session, "other")
    session.connection.execute("UPDATE jobsd.processes SET last_heartbeat_at = '2020-01-01'")
    beats = [Beat(row, monotonic_ns(), 0) for row in (one, other)]
    with psycopg.connect(session.target.url) as holder:
        holder.execute(what.encode(), (one,))
        watch = Stopwatch()

        seen = write_heartbeats(session, beats)

        assert watch.took() < 1
        assert seen.beaten == {other}
        assert seen.locked == {one}
        ages_s = {row.name: row.heartbeat_age_s for row in registry.processes(session)}
        assert ages_s["other"] < 5 < ages_s["one"]

    seen = write_heartbeats(session, beats)

    assert not seen.locked
    assert seen.beaten == ({other} if what == _DELETE else {one, other})


@pytest.mark.failure(
    "Another session holds the row of a process of ours locked (`SELECT … FOR UPDATE`).",
    "The heartbeats of all other processes are written; that process keeps its jobs and its"
    " row.",
)
def test_a_living_process_with_a_locked_row_keeps_it(tree: PlayedTree, target: Target) -> None:
    tree.start_monitor()
    one, other = tree.start_worker(), tree.start_worker()
    with psycopg.connect(target.url) as holder:
        holder.execute(_LOCK, (one.row_id,))
        tree.survey_passes()
        held_at_ns = monotonic_ns()

        wait_until(lambda: other.heartbeat_ns > held_at_ns)
        tree.survey_passes()

        assert one.heartbeat_ns < held_at_ns
        assert not one.row_lost
    wait_until(lambda: one.heartbeat_ns > held_at_ns)


def test_a_process_learns_soon_that_its_locked_row_is_gone(
    tree: PlayedTree, target: Target
) -> None:
    tree.start_monitor()
    one = tree.start_worker()
    with psycopg.connect(target.url) as holder:
        holder.execute(_DELETE, (one.row_id,))
        tree.survey_passes()
        assert not one.row_lost

    wait_until(lambda: one.row_lost, within_s=2)


@pytest.mark.failure(
    "Another session holds the row of a process locked for longer than"
    " `process_alive_threshold`.",
    "No other tree declares it dead: its heartbeat could not be written, so the time starts"
    " again.",
)
def test_a_process_that_could_not_beat_is_not_taken_for_dead(
    session: Session, target: Target
) -> None:
    row_id, (job,) = worker_row(session, "held"), make_jobs(session, 1)
    claim(session, row_id, [job])
    peers = Peers(60, 10)
    recovery = Recovery(session, Scoreboard().entries[0], keep_finished=True)

    def prune_who_stands_still(now: float) -> list[PeerProcess]:
        peers.see(write_heartbeats(session, []).others, now)
        found = [peer for peer, _ in peers.standing_still(now)]
        for peer in found:
            assert recovery.prune(peer, 60.0)
            peers.forget(peer)
        return found

    with psycopg.connect(target.url) as holder:
        holder.execute(_LOCK, (row_id,))
        found = [bool(prune_who_stands_still(now)) for now in range(0, 70, 10)]

        assert found == [False] * 6 + [True]
        assert_only_job_is(session, job, "claimed")
    assert not any(prune_who_stands_still(now) for now in range(70, 130, 10))

    assert prune_who_stands_still(130)
    assert_only_job_is(session, job, "failed")


@pytest.mark.failure(
    "A process dies while another session holds its row locked.",
    "Its jobs are settled at once, and the heartbeats of its tree continue; the row is"
    " deleted once it is released",
)
def test_the_dead_are_recovered_though_their_row_is_locked(
    tree: PlayedTree, session: Session, target: Target
) -> None:
    (job,) = make_jobs(session, 1)
    monitor = tree.start_monitor()
    worker, other = tree.start_worker(job, running=(job,)), tree.start_worker()
    name = worker.name
    with psycopg.connect(target.url) as holder:
        holder.execute(_LOCK, (worker.row_id,))
        tree.kill(worker)
        tree.reap(worker)
        died_at_ns = monotonic_ns()
        tree.wake(monitor)

        wait_until(lambda: worker.state == FREE)
        wait_until(lambda: other.heartbeat_ns > died_at_ns)

        assert_only_job_is(session, job, "failed")
        assert name in process_names(session)
    wait_until(lambda: name not in process_names(session))
    assert tree.wait_only_event("process.recovered")["failed"] == 1
    assert len(tree.events("job.failed")) == 1
