"""The monitor leaves last, leaves nothing behind, and never waits for a dead database."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import psycopg
import pytest

from harness.job_rows import assert_only_job_is, make_jobs, places, process_names
from harness.monitor_options import make_options
from harness.played_tree import PlayedTree, tree_on
from jobsd.database.connection import Target
from jobsd.scoreboard.entry import FREE, UP
from waiting import wait_until

if TYPE_CHECKING:
    from jobsd.database.connection import Session
    from jobsd.processes.context import Context


def _live_until_the_supervisor_is_gone(context: Context, _: Session) -> None:
    while os.getppid() == context.scoreboard.supervisor_pid:
        context.entry.tick()
        context.nap.take(0.02)
    os._exit(0)


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last poll may take its time, as it does on a busy machine: what it does is the point.

    How long it may take is held by the test of a frozen server, and below.
    """
    room = "jobsd.supervisor.monitor"
    monkeypatch.setattr(f"{room}.monitor.LEAVE_S", 30.0)
    monkeypatch.setattr(f"{room}.monitor.ALONE_AT_MOST_S", 30.0)
    monkeypatch.setattr(f"{room}.database_thread.LAST_ALONE_S", 30.0)


@pytest.mark.usefixtures("patient")
def test_at_the_end_of_the_tree_all_its_rows_go(tree: PlayedTree, session: Session) -> None:
    monitor = tree.start_monitor()
    worker = tree.start_worker()
    tree.kill(worker)
    tree.reap(worker, "stop")

    tree.scoreboard.stopping = 2
    tree.kill(monitor, signal.SIGTERM)

    assert tree.reap(monitor, "stop", within_s=0.8) == 0
    assert process_names(session) == set()


@pytest.mark.usefixtures("patient")
def test_the_last_words_are_about_the_dead(tree: PlayedTree, session: Session) -> None:
    ran, waited = make_jobs(session, 2)
    monitor = tree.start_monitor()
    worker = tree.start_worker(ran, waited, running=(ran,))
    tree.kill(monitor, signal.SIGSTOP)
    tree.kill(worker)
    tree.reap(worker, "stop")

    tree.scoreboard.stopping = 2
    tree.kill(monitor, signal.SIGTERM)
    tree.kill(monitor, signal.SIGCONT)

    tree.reap(monitor, "stop", within_s=0.8)
    assert worker.state == FREE
    assert places(session) == {ran: "ready", waited: "ready"}
    assert process_names(session) == set()


@pytest.mark.usefixtures("patient")
@pytest.mark.failure(
    "The tree ends while a transaction holds the claims of a dead worker.",
    "The worker's row stays with its claims, and the next tree settles them.",
)
def test_at_the_end_of_the_tree_rows_with_claims_stay(
    tree: PlayedTree, session: Session, target: Target
) -> None:
    (job,) = make_jobs(session, 1)
    monitor = tree.start_monitor()
    worker = tree.start_worker(job, running=(job,))
    with psycopg.connect(target.url) as holder:
        holder.execute("SELECT FROM jobsd.claims FOR UPDATE")
        tree.kill(worker)
        tree.reap(worker)
        tree.scoreboard.stopping = 2
        tree.kill(monitor, signal.SIGTERM)
        tree.reap(monitor, "stop")

        assert process_names(session) == {worker.name}
        assert_only_job_is(session, job, "claimed")
    with tree_on(target) as following:
        following.start_monitor()
        wait_until(lambda: process_names(session).isdisjoint({worker.name}))
        assert_only_job_is(session, job, "failed")


def test_while_others_drain_the_monitor_stays(tree: PlayedTree, session: Session) -> None:
    (job,) = make_jobs(session, 1)
    monitor = tree.start_monitor()
    worker = tree.start_worker(job, running=(job,))
    tree.scoreboard.stopping = 1
    tree.kill(monitor, signal.SIGTERM)
    tree.survey_passes(3)

    tree.destroy(worker, monitor, reason="stop")

    assert_only_job_is(session, job, "ready")
    assert monitor.state == UP
    tree.scoreboard.stopping = 2
    tree.reap(monitor, "stop", within_s=0.8)


@pytest.mark.usefixtures("patient")
def test_a_monitor_that_is_ended_alone_leaves_the_others_their_rows(
    tree: PlayedTree, session: Session
) -> None:
    monitor = tree.start_monitor()
    worker = tree.start_worker()
    name = monitor.name

    tree.kill(monitor, signal.SIGTERM)
    status = tree.reap(monitor, "exit", within_s=3)

    assert status == 0
    assert process_names(session) == {tree.scoreboard.supervisor_name, worker.name}
    assert name not in process_names(session)


@pytest.mark.failure(
    "The tree ends while the database is away.",
    "The monitor ends at once; the next tree settles the rows",
)
def test_a_monitor_without_a_database_leaves_at_once() -> None:
    with tree_on(Target("postgresql://nobody@127.0.0.1:1/none")) as tree:
        monitor = tree.start_monitor(surveys=False)
        wait_until(lambda: monitor.state == UP)

        tree.scoreboard.stopping = 2
        tree.kill(monitor, signal.SIGTERM)

        assert tree.reap(monitor, "stop", within_s=0.8) == 0


@pytest.mark.usefixtures("patient")
@pytest.mark.behaviour(26)
def test_when_the_supervisor_is_killed_its_tree_is_recovered_and_gone(
    target: Target, session: Session
) -> None:
    (job,) = make_jobs(session, 1)
    supervisor = os.fork()
    if supervisor == 0:
        try:
            tree = PlayedTree(target, make_options(target))
            tree.start_monitor()
            tree.start_worker(job, running=(job,), live=_live_until_the_supervisor_is_gone)
            signal.pause()
        finally:
            os._exit(70)
    wait_until(lambda: places(session) == {job: "claimed"})
    wait_until(lambda: len(process_names(session)) == 3)

    os.kill(supervisor, signal.SIGKILL)
    os.waitpid(supervisor, 0)

    wait_until(lambda: process_names(session) == set(), 1.5)
    assert_only_job_is(session, job, "failed")
