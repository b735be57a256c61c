"""The server's clock jumps ahead and back, while everything works."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from psycopg import conninfo

from harness.project import Project
from outages.cluster import cluster
from outages.ordeal import JOBS, QUEUE, RECURRING, Ordeal, connect, ordeal
from system.jobs import LEDGER, ledger
from waiting import Stopwatch, wait_until

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
JUDGED = ("process.pruned", "process.deregistered", "claims.lost")


@pytest.fixture
def clock() -> Iterator[Path]:
    """A file that says how far the server's clock is off, in a folder that its account reads.

    It is no folder of pytest's: each run of pytest closes the one above them to other accounts.
    """
    if not LIBRARIES:
        pytest.skip("libfaketime is not installed (Debian: libfaketime)")
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        _set(Path(folder) / "clock", "+0")
        yield Path(folder) / "clock"


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


def _jumped(tree: Ordeal, to_s: int) -> datetime | None:
    """Return the server's time once it is so many seconds off the machine's."""
    ((now,),) = tree.query("SELECT clock_timestamp()")
    ahead_s = (now - datetime.now(UTC)).total_seconds()
    return now if abs(ahead_s - to_s) < 60 else None


def _follows(tree: Ordeal, jump: str) -> None:
    """See that all goes on by the server's clock as it is since it has jumped."""
    now = wait_until(lambda: _jumped(tree, int(jump[:-1]) * 3600), what="the clock to jump")
    tree.recovered(Stopwatch())
    wait_until(lambda: tree.query(TICKED.format(now))[0][0] >= 2, FOLLOWS_S, tree.tree.reported)
    wait_until(
        lambda: tree.query(BEATS) == [(True,)], FOLLOWS_S, lambda: str(tree.query(BEATS))
    )


@pytest.mark.failure(
    "The server's clock jumps two hours ahead, four back, and five ahead, while jobs of all"
    " kinds run.",
    "No process is declared dead, and nothing is lost, done twice or stuck: jobs, heartbeats"
    " and recurring tasks continue by the new time, and what has to wait until a time waits"
    " for it",
)
@pytest.mark.timeout(300)  # on a busy machine: each look at this clock reads its file
def test_a_server_with_a_jumping_clock_loses_and_doubles_no_job(
    clock: Path, url: str, tmp_path: Path
) -> None:
    with ordeal(tmp_path, url) as tree:
        tree.begin()
        for jump in JUMPS:
            _set(clock, jump)
            _follows(tree, jump)

        tree.check(lost=0)
        assert [tree.tree.events(name) for name in JUDGED if tree.tree.events(name)] == []


ENDED = """
SELECT arguments ->> 0, coalesce(outcome, (
    SELECT error ->> 'type' FROM jobsd.failed_executions WHERE job_id = id
), 'open'), attempts
FROM jobsd.jobs WHERE class_name LIKE '%.slow' ORDER BY id
"""
ROWS = """
SELECT count(*) FILTER (WHERE created_at > now() + '1 hour'::interval), count(*) > 0
FROM jobsd.processes
"""


@pytest.mark.failure(
    "A tree is killed, and the server's clock is put back by two hours before the next starts.",
    "The next tree settles within seconds what the dead processes have left, as if the clock"
    " had not changed",
)
@pytest.mark.parametrize("jump", ["-2h", "+2h"])
def test_a_tree_that_starts_behind_a_jump_recovers_those_before(
    clock: Path, url: str, tmp_path: Path, jump: str
) -> None:
    project = Project(tmp_path, url, LEDGER=str(tmp_path / "ledger"))
    project.write("trial_jobs.py", LEDGER + JOBS)
    project.write("config/queue.yml", QUEUE.format(database="{}"))
    project.write("config/recurring.yml", RECURRING)

    def ask(text: str) -> list[tuple[object, ...]]:
        with connect(url) as connection:
            return connection.execute(text.encode()).fetchall()

    with project.start() as tree:
        tree.wait_event("supervisor.ready")
        ask("SELECT jobsd.enqueue('trial_jobs.slow', '[1, 3600]')")
        wait_until(lambda: "began 1" in ledger(project), FOLLOWS_S, tree.reported)
    _set(clock, jump)

    with project.start() as tree:
        wait_until(lambda: ask(ENDED)[0][1:] != ("open", 0), FOLLOWS_S, tree.reported)
        ask("SELECT jobsd.enqueue('trial_jobs.slow', '[2, 0]')")
        wait_until(lambda: ask(ENDED)[-1][1] != "open", FOLLOWS_S, tree.reported)
        wait_until(lambda: ask(ROWS) == [(0, True)], FOLLOWS_S, lambda: str(ask(ROWS)))

    assert ask(ENDED)[1:] == [("2", "finished", 1)]
    assert ask(ENDED)[0][1:] == ("ProcessExitError", 1)
    assert ledger(project).count("began 1") == 1
