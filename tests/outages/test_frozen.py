"""The database is there and does not answer, or answers that it has no room."""

from __future__ import annotations

import contextlib
from collections import Counter
from typing import TYPE_CHECKING

import psutil
import psycopg
import pytest
from psycopg import conninfo

from jobsd.clock import monotonic
from outages.ordeal import RECOVERY_S, Ordeal, connect, ordeal
from waiting import Stopwatch, let_pass, wait_until

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from outages.cluster import Cluster

pytestmark = pytest.mark.system

_OURS = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND application_name = 'test'
"""
_TERMINATE = """
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
WHERE datname = current_database() AND application_name LIKE 'jobsd %'
"""
_TERMINATE_SOME = b"""
SELECT application_name, pg_terminate_backend(pid, 30000) FROM pg_stat_activity
WHERE datname = current_database() AND application_name LIKE 'jobsd %' AND random() < 0.3
"""


@pytest.mark.failure(
    "All processes of the database are stopped (SIGSTOP) for eight seconds; half a minute,"
    " in a long test.",
    "Each wait for it ends by a deadline of ours; the supervisor continues; no process is"
    " killed.",
)
@pytest.mark.parametrize(
    "seconds",
    [
        pytest.param(8, id="seconds"),
        pytest.param(30, id="longer-than-any-statement", marks=pytest.mark.long),
    ],
)
def test_a_frozen_database_stalls_no_process(
    running: Cluster, url: str, tmp_path: Path, seconds: float
) -> None:
    with ordeal(tmp_path, url) as tree:
        tree.begin()

        running.freeze()
        began = monotonic()
        tree.tree.wait_event("database.unavailable")
        let_pass(seconds - (monotonic() - began))
        running.thaw()
        back = Stopwatch()

        assert tree.recovered(back) < RECOVERY_S
        tree.check()
        assert tree.tree.events("supervisor.stalled") == []


@pytest.mark.failure(
    "All connections of the database are taken (`max_connections`), and ours were cut.",
    "An outage like any other: the processes wait, and it is reported once at each end.",
)
def test_connections_that_are_not_to_be_had_are_waited_for(
    running: Cluster, url: str, tmp_path: Path
) -> None:
    with ordeal(tmp_path, url) as tree:
        tree.begin()

        with _no_room(running, tree):
            tree.tree.wait_event("database.unavailable")
            let_pass(1)

        assert tree.recovered(Stopwatch()) < RECOVERY_S
        tree.check()
        (lost,) = tree.tree.events("database.unavailable")
        assert "too many clients" in str(lost["error"])


@contextlib.contextmanager
def _no_room(running: Cluster, tree: Ordeal) -> Generator[None]:
    """Take every connection that there is; those of the tree while it stands still."""
    with running.connect() as one, contextlib.ExitStack() as taken:
        cut = _TERMINATE.replace("current_database()", f"'{_name(tree)}'").encode()
        with _standing_still(tree):
            wait_until(lambda: one.execute(cut).fetchone() == (0,), what="their end")
            with contextlib.suppress(psycopg.OperationalError):
                while True:
                    taken.enter_context(running.connect())
        yield
        taken.close()
        # A session goes on for a moment when its client has gone, and there is no room.
        wait_until(lambda: one.execute(_OURS.encode()).fetchone() == (1,), what="room")


@contextlib.contextmanager
def _standing_still(tree: Ordeal) -> Generator[None]:
    processes = [psutil.Process(tree.tree.process.pid), *tree.tree.children()]
    for each in processes:
        each.suspend()
    try:
        yield
    finally:
        for each in processes:
            each.resume()


def _name(tree: Ordeal) -> str:
    return str(conninfo.conninfo_to_dict(tree.url)["dbname"])


@pytest.mark.failure(
    "Connections of the tree are terminated at random; for a minute, in a long test.",
    "Each is replaced at once, without a warning; nothing is lost, nothing is run twice.",
)
@pytest.mark.parametrize(
    "seconds",
    [
        pytest.param(5, id="seconds"),
        pytest.param(60, id="minute", marks=[pytest.mark.long, pytest.mark.timeout(180)]),
    ],
)
def test_connections_terminated_at_random_are_replaced(
    url: str, tmp_path: Path, seconds: float
) -> None:
    with ordeal(tmp_path, url) as tree, connect(url) as connection:
        tree.begin()

        began, cut = monotonic(), Counter[str]()
        while monotonic() - began < seconds or cut.total() <= seconds:
            cut.update(name for name, _ in connection.execute(_TERMINATE_SOME))
            # Who is cut off again before it has come back has an outage.
            wait_until(lambda: _reconnected(tree) == cut, what=tree.tree.reported)
            let_pass(0.2)

        assert tree.recovered(Stopwatch()) < RECOVERY_S
        tree.check(lost=0)


def _reconnected(tree: Ordeal) -> Counter[str]:
    """Return how often each process has said that a broken connection was replaced."""
    return Counter(
        f"jobsd {event['process_name']}" for event in tree.tree.events("database.reconnected")
    )
