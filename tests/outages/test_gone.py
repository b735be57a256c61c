"""The database is gone, in every way, for a moment or for minutes."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from outages.cluster import Cluster, returned
from outages.ordeal import RECOVERY_S, Ordeal, ordeal
from waiting import Stopwatch, let_pass, wait_until

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.system

QUIET_S = 1.0


def _until_all_is_said(tree: Ordeal) -> int:
    """Wait until nobody has said anything for a while; return how many lines there are.

    Who was slow may tell of what was recorded before, or have dropped lines to tell of.
    """
    lines = tree.tree.lines
    said, watch = 0, Stopwatch()

    def quiet() -> bool:
        nonlocal said, watch
        if len(lines) != said:
            said, watch = len(lines), Stopwatch()
        return watch.over(QUIET_S)

    wait_until(quiet, 10, tree.tree.reported)
    return said


@pytest.mark.failure(
    "The database is restarted regularly, or crashes (SIGKILL of all of its processes).",
    "No process exits; the tree warns once at each end; jobs that ran are recorded once,"
    " afterwards.",
)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_database_that_is_restarted_costs_only_the_time_it_takes(
    running: Cluster, url: str, tmp_path: Path, number: signal.Signals
) -> None:
    with ordeal(tmp_path, url) as tree:
        tree.begin()

        running.stop(number)
        tree.tree.wait_event("database.unavailable")
        running.start()

        assert tree.recovered(returned(running, url)) < RECOVERY_S
        tree.check()


@pytest.mark.failure(
    "There is no database when the tree starts.",
    "The tree is ready and waits, with one warning; it makes the tables once the database is"
    " there",
)
def test_a_database_that_is_not_there_at_boot_is_waited_for(
    running: Cluster, url: str, tmp_path: Path
) -> None:
    running.stop()
    with ordeal(tmp_path, url) as tree:
        tree.tree.wait_event("supervisor.ready")
        let_pass(2)

        running.start()
        back = returned(running, url)

        tree.tree.wait_event("database.migrated")
        tree.begin()
        assert tree.recovered(back) < RECOVERY_S + 3
        tree.check()
        assert len(tree.tree.events("database.awaited")) == 1


@pytest.mark.failure(
    "The database is away for four seconds; for five minutes, in a long test.",
    "No process exits, no loop stalls and nothing more is logged; once it is back, it is"
    " found within a second or two.",
)
@pytest.mark.parametrize(
    "seconds",
    [
        pytest.param(4, id="seconds"),
        pytest.param(300, id="minutes", marks=[pytest.mark.long, pytest.mark.timeout(420)]),
    ],
)
def test_a_database_that_stays_away_is_waited_for_without_a_word(
    running: Cluster, url: str, tmp_path: Path, seconds: float
) -> None:
    with ordeal(tmp_path, url) as tree:
        tree.begin()
        running.stop()
        tree.tree.wait_event("database.unavailable")
        reported = _until_all_is_said(tree)

        let_pass(seconds)
        # The minute's count may be of what was done before.
        more = [line for line in tree.tree.lines[reported:] if "jobs.counted" not in line]
        running.start()

        assert tree.recovered(returned(running, url)) < RECOVERY_S
        tree.check()
        assert more == []
        assert tree.tree.events("supervisor.stalled") == []
