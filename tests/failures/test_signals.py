"""Storms of signals; what HUP, TTIN and TTOU change, while the tree goes on working."""

from __future__ import annotations

import os
import signal
import threading
from typing import TYPE_CHECKING, Self

import psycopg
import pytest

from failures.asking import finished
from system.jobs import enqueue, enqueue_many, ledger, let_go
from waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.project import Project

    Query = Callable[[str], list[tuple[object, ...]]]

pytestmark = pytest.mark.system

WORKERS = 3
STORM = (
    signal.SIGHUP,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGCHLD,
    signal.SIGTTIN,
    signal.SIGTTOU,
)
SLEEPING = "SELECT count(*) FROM jobsd.sleepers WHERE kind = 'worker'"
ROWS = "SELECT count(*) FROM jobsd.processes WHERE kind = 'worker'"

UNFINISHED = """
SELECT count(*) FROM jobsd.jobs WHERE class_name = 'trial_jobs.quick' AND finished_at IS NULL
"""


class Capacity:
    """Samples how many workers are there to take a job: those that have said they sleep.

    In a tree with nothing to do a worker sleeps from its first look on, until it is told
    to end and takes its name out of the list together with its row.
    """

    def __init__(self, url: str) -> None:
        self.least = 1 << 30
        self.samples = 0
        self._url = url
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._sample)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _sample(self) -> None:
        with psycopg.connect(self._url, autocommit=True) as connection:
            while not self._over.wait(0.002):
                ((count,),) = connection.execute(SLEEPING.encode()).fetchall()
                self.least = min(self.least, count)
                self.samples += 1


@pytest.fixture
def three_workers(project: Project) -> Project:
    project.write(
        "config/queue.yml", f"import: [trial_jobs]\nworkers: [{{processes: {WORKERS}}}]\n"
    )
    return project


@pytest.mark.failure(
    "HUP, fifty times in a burst",
    "one reload: workers are replaced one by one, each successor is up before its"
    " predecessor is asked to end, and at no instant fewer workers than configured wait for"
    " jobs",
)
def test_a_reload_has_no_moment_without_capacity(three_workers: Project, query: Query) -> None:
    with three_workers.start() as tree:
        tree.wait_event("supervisor.ready")
        wait_until(lambda: query(SLEEPING) == [(WORKERS,)], what=tree.reported)
        before = {child.pid for child in tree.children("worker")}

        with Capacity(three_workers.environ["DATABASE_URL"]) as capacity:
            for _ in range(50):
                tree.process.send_signal(signal.SIGHUP)
            tree.wait_event("supervisor.reloaded")

        assert (capacity.least >= WORKERS, capacity.samples > 5) == (True, True), (
            f"{capacity.least} workers at the least, of {capacity.samples} samples"
        )
        rolled = [e for e in tree.events("process.replaced") if e["kind"] == "worker"]
        assert [event["reason"] for event in rolled] == ["reload"] * WORKERS
        assert before.isdisjoint(child.pid for child in tree.children("worker"))
        assert len(tree.events("supervisor.reloaded")) == 1


@pytest.mark.failure(
    "HUP while jobs come in and run",
    "no job waits for the reload, none is run twice, none is cut off",
)
def test_jobs_go_on_through_a_reload(three_workers: Project, query: Query) -> None:
    with three_workers.start() as tree:
        tree.wait_event("supervisor.ready")
        long_ones = enqueue_many(query, "held", [(n,) for n in range(3)])
        wait_until(lambda: len(ledger(three_workers)) == 3, what=tree.reported)
        tree.process.send_signal(signal.SIGHUP)
        count = 0
        # Who runs the long ones is waited for: so there is a reload beside two of the others.
        while not tree.events("supervisor.reloaded") or count < 2:
            enqueue(query, "quick", count)
            count += 1
            wait_until(lambda: query(UNFINISHED) == [(0,)], 1, tree.reported)
            if count == 2:
                assert not tree.events("supervisor.reloaded")
                let_go(three_workers)

        finished(query, count + len(long_ones), tree.reported)
        assert query("SELECT DISTINCT attempts FROM jobsd.jobs") == [(1,)]
        assert len(ledger(three_workers)) == count + 2 * len(long_ones)


@pytest.mark.failure(
    "5,000 signals of all kinds in a burst, then 5,000 TERMs",
    "no process dies of the signals; the TERMs are one stop with exit status 0, and nothing"
    " is left",
)
def test_a_storm_of_signals_is_survived_and_one_of_terms_is_one_stop(
    three_workers: Project, query: Query
) -> None:
    with three_workers.start() as tree:
        tree.wait_event("supervisor.ready")
        enqueue(query, "mixed", 1, 0.5, "pass")
        wait_until(lambda: ledger(three_workers), what=tree.reported)
        for n in range(5000):
            os.kill(tree.process.pid, STORM[n % len(STORM)])
        tree.wait_event("supervisor.reloaded")
        enqueue(query, "quick", 2)
        finished(query, 2, tree.reported)
        tree.children()

        for _ in range(5000):
            if tree.process.poll() is None:
                os.kill(tree.process.pid, signal.SIGTERM)
        tree.process.wait(30)

        tree.assert_clean_exit()
        assert tree.alive() == []
        assert len(tree.events("supervisor.stopping")) == 1
        assert tree.events("process.exited") == []
    assert query("SELECT FROM jobsd.processes") == []


@pytest.mark.failure(
    "TTIN and TTOU come more often than there are workers",
    "each adds or removes one worker, down to one, which stays; no running job is interrupted",
)
def test_ttin_and_ttou_change_the_number_of_workers(project: Project, query: Query) -> None:
    with project.start(JOBSD_LOG_LEVEL="debug") as tree:
        tree.wait_event("supervisor.ready")
        tree.process.send_signal(signal.SIGTTIN)
        wait_until(lambda: query(ROWS) == [(2,)], what=tree.reported)
        enqueue_many(query, "held", [(n,) for n in range(6)])
        wait_until(lambda: len(ledger(project)) == 6, what=tree.reported)

        for _ in range(4):
            heard = len(tree.events("signal.received"))
            tree.process.send_signal(signal.SIGTTOU)
            tree.wait_event("signal.received", heard + 1)

        let_go(project)
        finished(query, 6, tree.reported)
        wait_until(lambda: query(ROWS) == [(1,)], what=tree.reported)
        enqueue(query, "quick", 7)
        finished(query, 7, tree.reported)
        assert query("SELECT DISTINCT attempts FROM jobsd.jobs") == [(1,)]
