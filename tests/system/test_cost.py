"""What a default tree costs while it has nothing to do."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import psycopg
import pytest

from harness.project import Project
from waiting import let_pass, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.tree import Tree

    Query = Callable[[str], list[tuple[object, ...]]]

pytestmark = pytest.mark.system

CONFIG = Path(__file__).parents[2] / "config"
PSS_MAX_MIB = 97
"""94 where no other program shares Python's pages: croniter in the scheduler, plain dataclasses
and plain patterns in all processes are 6 of it."""
STATEMENTS_A_MINUTE_MAX = 60
WAKES_A_MINUTE_MAX = 180
"""The supervisor comes round each second, everybody else every five seconds. Each statement is
a wake more. Processor time is no count: the same wakes of the same program cost ten times as
much where the machine itself has fallen asleep, so `benchmarks idle` holds that against others.
"""


@pytest.fixture
def shipped(tmp_path: Path, empty_database: str) -> Project:
    """A project with the configuration as it is shipped."""
    (tmp_path / "config").mkdir()
    for name in ("queue.yml", "recurring.yml"):
        shutil.copy(CONFIG / name, tmp_path / "config" / name)
    return Project(tmp_path, empty_database)


def _settled(tree: Tree) -> None:
    tree.wait_event("supervisor.ready")
    wait_until(lambda: any("[HEARTBEAT]" in line for line in tree.lines), 20, tree.reported)
    let_pass(6)  # the series of looks after the heartbeat's run ends after 5 s


def test_the_default_tree_is_small(shipped: Project) -> None:
    with shipped.start() as tree:
        _settled(tree)

        pss = tree.pss_kib()

    assert len(pss) == 5, pss
    assert sum(pss.values()) / 1024 < PSS_MAX_MIB, pss


@pytest.mark.parametrize(
    "seconds", [20, pytest.param(300, marks=[pytest.mark.long, pytest.mark.timeout(400)])]
)
def test_an_idle_tree_is_nearly_silent(shipped: Project, query: Query, seconds: int) -> None:
    _require_statistics(query)
    with shipped.start() as tree:
        _settled(tree)
        before, wakes_before = _statements(query), _wakes(tree)
        runs_before = query("SELECT count(*) FROM jobsd.heartbeat_logs")
        let_pass(seconds)
        after, wakes = _statements(query), _wakes(tree)
        runs = query("SELECT count(*) FROM jobsd.heartbeat_logs")
        statements = {text: calls - before.get(text, 0) for text, calls in after.items()}

    reported = "\n".join(
        f"{calls} {text[:90]!r}" for text, calls in statements.items() if calls
    )
    # The heartbeat's own run aside: it, the looks after it, and the scheduler's enqueue.
    own = 40 * (int(str(runs[0][0])) - int(str(runs_before[0][0])))
    assert (sum(statements.values()) - own) * 60 / seconds < STATEMENTS_A_MINUTE_MAX, reported
    woken = {name: wakes[name] - wakes_before[name] for name in wakes}
    assert (sum(woken.values()) - own) * 60 / seconds < WAKES_A_MINUTE_MAX, woken


def _require_statistics(query: Query) -> None:
    try:
        query("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
        query("SELECT calls FROM pg_stat_statements LIMIT 1")
    except psycopg.Error as error:
        pytest.skip(f"pg_stat_statements is not there: {error}")


def _statements(query: Query) -> dict[str, int]:
    rows = query(
        "SELECT query, sum(calls)::int FROM pg_stat_statements s JOIN pg_database d"
        " ON d.oid = s.dbid WHERE datname = current_database()"
        " AND query NOT LIKE '%pg_stat_statements%' AND query NOT LIKE '%heartbeat_logs%'"
        " GROUP BY query"
    )
    return {str(text): int(str(calls)) for text, calls in rows}


def _wakes(tree: Tree) -> dict[str, int]:
    """Return how often the threads of each process have gone to rest."""
    processes = [psutil.Process(tree.process.pid), *tree.children()]
    return {
        f"{' '.join(process.cmdline()).partition(':')[0]} [{process.pid}]": sum(
            int(line.split()[1])
            for status in Path(f"/proc/{process.pid}/task").glob("*/status")
            for line in status.read_text(encoding="ascii").splitlines()
            if line.startswith("voluntary_ctxt_switches")
        )
        for process in processes
    }
