"""The server's clock jumps ahead and back, while everything works."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from psycopg import conninfo

from outages.cluster import cluster
from outages.ordeal import Ordeal, ordeal
from system.tree import wait_for
from waiting import Stopwatch

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.system

LIBRARIES = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
JUMPS = ("+2h", "-2h", "+3h")
"""Against the machine's clock. The last is ahead of all before: what was to be done is due."""
FOLLOWS_S = 60.0
# By the server's clock as it is now: each heartbeat is young, and no older one is to come.
BEATS = """
SELECT coalesce(bool_and(last_heartbeat_at BETWEEN now() - '10 s'::interval
    AND now() + '1 s'::interval), false) FROM jobsd.processes
"""
TICKED = """
SELECT count(*) FROM jobsd.recurring_executions
WHERE job_id IS NOT NULL AND run_at > '{}'::timestamptz AND run_at <= now()
"""
JUDGED = ("process.pruned", "process.deregistered", "claims.lost", "jobs.lost")


@pytest.fixture
def clock(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that says how far the server's clock is off; its account has to read it."""
    if not LIBRARIES:
        pytest.skip("libfaketime is not installed (Debian: libfaketime)")
    folder = tmp_path_factory.mktemp("clock")
    for each in (folder, *folder.parents[:3]):
        each.chmod(each.stat().st_mode | 0o055)
    _set(folder / "clock", "+0")
    return folder / "clock"


@pytest.fixture
def url(clock: Path) -> Iterator[str]:
    """The only database of a server that has this clock, and no other duration."""
    with cluster() as made:
        made.environ = {
            "LD_PRELOAD": str(LIBRARIES[0]),
            "FAKETIME_TIMESTAMP_FILE": str(clock),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_DISABLE_SHM": "1",
            "NO_FAKE_STAT": "1",
        }
        made.start()
        yield conninfo.make_conninfo(made.url)


def _set(clock: Path, ahead: str) -> None:
    """Let the clock jump: by one rename, for nobody may read half of the file."""
    new = clock.with_suffix(".new")
    new.write_text(ahead, encoding="ascii")
    new.chmod(0o644)
    new.rename(clock)


def _follows(tree: Ordeal, jump: str) -> None:
    """See that all goes on by the server's clock as it is since it has jumped."""
    ((now,),) = tree.query("SELECT clock_timestamp()")
    ahead_s = (now - datetime.now(UTC)).total_seconds()
    assert abs(ahead_s - int(jump[:-1]) * 3600) < 60
    tree.recovered(Stopwatch())
    wait_for(lambda: tree.query(TICKED.format(now))[0][0] >= 2, FOLLOWS_S, tree.tree.reported)
    wait_for(lambda: tree.query(BEATS) == [(True,)], FOLLOWS_S, lambda: str(tree.query(BEATS)))


@pytest.mark.failure(
    "The server's clock jumps two hours ahead, four back, and five ahead, while jobs of all"
    " kinds run.",
    "Nobody is judged, and nothing is lost, done twice or stands still: jobs, heartbeats and"
    " recurring tasks go on by the new time; what was to wait until a time waits for it.",
)
def test_a_server_whose_clock_jumps_loses_and_doubles_nothing(
    clock: Path, url: str, tmp_path: Path
) -> None:
    with ordeal(tmp_path, url) as tree:
        tree.begin()
        for jump in JUMPS:
            _set(clock, jump)
            _follows(tree, jump)

        tree.check(lost=0)
        assert [tree.tree.events(name) for name in JUDGED if tree.tree.events(name)] == []
