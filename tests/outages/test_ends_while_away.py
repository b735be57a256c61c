"""A tree or a worker ends while the database is away, in other ways than by a plain stop."""

from __future__ import annotations

import signal
import socket
from collections import Counter
from typing import TYPE_CHECKING

import psutil
import pytest
from psycopg import conninfo

from outages.test_stopped_while_away import ENDED, QUEUE, Stopped
from system.jobs import ledger
from waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from outages.cluster import Cluster

pytestmark = pytest.mark.system


def _is_connecting(worker: psutil.Process, running: Cluster) -> bool:
    """Return whether something has taken a connection of the worker to the cluster's port."""
    return any(
        each.status == psutil.CONN_ESTABLISHED and each.raddr == (running.host, running.port)
        for each in worker.net_connections()
    )


@pytest.mark.failure(
    "All processes of the database stand still while a tree is stopped, and the time to stop is"
    " shorter than the deadline of a statement.",
    "A statement takes at most half of the time that is left: the workers give theirs up, and"
    " keep the outcomes in a journal.",
)
def test_a_stop_beside_a_silent_server_loses_no_outcome(
    running: Cluster, url: str, tmp_path: Path
) -> None:
    queue = QUEUE.replace("shutdown_timeout: 3", "shutdown_timeout: 5")
    stopped = Stopped(tmp_path, url, queue)
    with stopped.project.start() as tree:
        stopped.begin(tree)
        running.freeze()
        stopped.end_jobs(tree)
        tree.terminate()
        running.thaw()

    with stopped.project.start() as tree:
        stopped.check(tree)


@pytest.mark.failure(
    "A tree is stopped while its workers wait for a server that has taken their connections and"
    " says nothing, for longer than the time to stop.",
    "The workers give the wait up, and keep the outcomes in a journal.",
)
def test_a_stop_while_connections_are_being_made_loses_no_outcome(
    running: Cluster, url: str, tmp_path: Path
) -> None:
    queue = QUEUE.replace("shutdown_timeout: 3", "shutdown_timeout: 6")
    stopped = Stopped(tmp_path, conninfo.make_conninfo(url, connect_timeout=60), queue)
    with stopped.project.start() as tree:
        stopped.begin(tree)
        (worker,) = tree.children("worker")
        running.stop()
        with socket.create_server((running.host, running.port)):
            wait_until(lambda: _is_connecting(worker, running), what=tree.reported)
            stopped.end_jobs(tree)
            tree.terminate()

    running.start()
    with stopped.project.start() as tree:
        stopped.check(tree)


@pytest.mark.failure(
    "A tree drains while the database is away, and gets QUIT.",
    "The journals are written already: the next tree records each outcome once.",
)
def test_quit_in_a_drain_while_the_database_is_away_loses_no_outcome(
    running: Cluster, url: str, tmp_path: Path
) -> None:
    queue = QUEUE.replace("shutdown_timeout: 3", "shutdown_timeout: 60")
    stopped = Stopped(tmp_path, url, queue)
    with stopped.project.start() as tree:
        stopped.begin(tree)
        running.stop()
        tree.wait_event("database.unavailable")
        stopped.end_jobs(tree)
        tree.send(signal.SIGTERM)
        wait_until(lambda: any(b"discard" in path.read_bytes() for path in stopped.journals()))
        tree.terminate(signal.SIGQUIT)
        tree.assert_clean_exit()

    running.start()
    with stopped.project.start() as tree:
        stopped.check(tree)


@pytest.mark.failure(
    "A tree gets QUIT while the database is away: nothing that it waits to record is kept.",
    "Plain successes are known by the scoreboard; a job with a result runs again, and of an"
    " error its message is lost.",
)
def test_quit_during_an_outage_keeps_the_outcomes_of_the_scoreboard(
    running: Cluster, url: str, tmp_path: Path
) -> None:
    stopped = Stopped(tmp_path, url)
    with stopped.project.start() as tree:
        stopped.begin(tree)
        running.stop()
        tree.wait_event("database.unavailable")
        stopped.end_jobs(tree)
        tree.terminate(signal.SIGQUIT)
        tree.assert_clean_exit()

    running.start()
    stopped.gate.with_name("gate.long").touch()
    expected = {**ENDED, "long": ("finished", 1, None)}
    with stopped.project.start() as tree:
        wait_until(
            lambda: (
                {name: place[:2] for name, place in stopped.places().items()}
                == {name: place[:2] for name, place in expected.items()}
            ),
            what=lambda: f"{stopped.places()}\n{tree.reported()}",
        )
    twice = {line for line, n in Counter(ledger(stopped.project)).items() if n > 1}
    assert twice <= {"began long", "began result", "ended result"}
    assert str(stopped.places()["failure"][2]).startswith("its error message is lost")


@pytest.mark.failure(
    "A worker is recycled, and the database goes away before its last jobs have ended.",
    "It records their outcomes itself once the database is back, and leaves no journal.",
)
def test_a_worker_that_is_recycled_while_the_database_is_away_loses_no_outcome(
    running: Cluster, url: str, tmp_path: Path
) -> None:
    queue = QUEUE.replace("threads: 8", "threads: 8, max_jobs: 1")
    stopped = Stopped(tmp_path, url, queue)
    with stopped.project.start() as tree:
        stopped.begin(tree)
        stopped.gate.with_name("gate.long").touch()
        tree.wait_event("process.replaced", kind="worker")
        running.stop()
        tree.wait_event("database.unavailable")
        stopped.gate.touch()
        wait_until(lambda: "discard" in stopped.lines("ended"), what=tree.reported)
        wait_until(stopped.journals)

        running.start()

        stopped.check_without_stop(tree)
