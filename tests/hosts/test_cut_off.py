"""A host that is cut off, or stands still, is taken for dead, and comes back harmless."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

from system.jobs import enqueue, let_go
from waiting import Stopwatch, let_pass, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from harness.project import Project
    from hosts.network import Host, HostTree, Network

    Query = Callable[[str], list[tuple[object, ...]]]

pytestmark = pytest.mark.system

INTERVAL_S = 0.5
THRESHOLD_S = 2.5
DEAD_S = 5.0 + 2.0 + INTERVAL_S / 4
"""When others take a process for dead that would be killed if it hung: by the least
`hang_timeout`, which is longer than the threshold, and what may tremble."""
MACHINE_S = 1.0
"""What a loaded machine may add."""
QUEUE = f"""
import: [trial_jobs]
supervisor:
  heartbeat_interval: {INTERVAL_S}
  process_alive_threshold: {THRESHOLD_S}
  shutdown_timeout: 15
"""
_LIMITED = "SELECT jobsd.enqueue('trial_jobs.{}', '{}', concurrency_key => 'k')"
_PLACES = """
SELECT j.arguments ->> 0, j.outcome, j.attempts, f.error ->> 'type'
FROM jobsd.jobs j LEFT JOIN jobsd.failed_executions f ON f.job_id = j.id
WHERE class_name IN ('trial_jobs.held', 'trial_jobs.slow') ORDER BY j.id
"""
_ROWS = "SELECT hostname, count(*) FROM jobsd.processes GROUP BY hostname"


def _ledger(project: Project) -> list[str]:
    path = project.root / "ledger"
    lines = path.read_text().splitlines() if path.exists() else []
    return [" ".join(line.split()[:-1]) for line in lines]


@contextlib.contextmanager
def _away(host: Host, tree: HostTree, how: str) -> Generator[None]:
    go, back = {
        "packets are lost": (host.lose, host.find),
        "cable is unplugged": (host.unplug, host.plug),
        "stands still": (tree.freeze, tree.thaw),
    }[how]
    go()
    try:
        yield
    finally:
        back()


@pytest.mark.failure(
    "A host with a whole tree is cut off (packets lost, cable unplugged), or stands still.",
    "Another tree prunes it after `process_alive_threshold`, 7 s at least, plus an interval:"
    " jobs that ran have a `ProcessPrunedError`, and their slots are free. When the tree is"
    " back, it changes nothing of these, and works",
)
@pytest.mark.parametrize(
    ("how", "seconds"),
    [
        ("packets are lost", 0),
        ("cable is unplugged", 0),
        ("stands still", 0),
        pytest.param("packets are lost", 30, marks=pytest.mark.long),
        pytest.param("stands still", 30, marks=pytest.mark.long),
    ],
)
def test_a_host_that_is_away_is_pruned_and_comes_back_harmless(
    net: Network, project: Project, query: Query, how: str, seconds: float
) -> None:
    project.write("config/queue.yml", QUEUE)
    with (
        net.host("alpha") as alpha,
        net.host("beta") as beta,
        alpha.start(project) as away,
        _with_a_running_job(project, query, away),
        beta.start(project) as other,
    ):
        other.wait_event("supervisor.ready")
        query(_LIMITED.format("slow", [2, 0.2]))
        wait_until(lambda: _rows(query) == {"alpha": 4, "beta": 4}, what=other.reported)

        with _away(alpha, away, how):
            watch = Stopwatch()
            wait_until(lambda: _rows(query) == {"beta": 4}, what=other.reported)
            took_s = watch.took()
            wait_until(lambda: "ended 2 beta" in _ledger(project), what=other.reported)
            let_pass(seconds)
        away.wait_event("claims.lost")
        let_go(project)
        wait_until(lambda: "ended 1 alpha" in _ledger(project), what=away.reported)
        wait_until(lambda: _rows(query) == {"alpha": 4, "beta": 4}, what=away.reported)
        other.freeze()
        enqueue(query, "quick", 3)
        wait_until(lambda: "ran 3 alpha" in _ledger(project), what=away.reported)

        assert THRESHOLD_S < took_s < DEAD_S + INTERVAL_S + MACHINE_S
        assert query(_PLACES) == [
            ("1", None, 1, "ProcessPrunedError"),
            ("2", "finished", 1, None),
        ]
        assert query("SELECT FROM jobsd.claims WHERE slot IS NOT NULL") == []
        assert len(other.events("process.pruned")) == 4
        ends = away.events("process.exited")
        assert [(each["kind"], each["reason"], each["up_s"]) for each in ends] == []
        # Who has to reconnect finds that its row is gone, and registers anew.
        assert {event["reason"] for event in away.events("process.replaced")} <= {"row"}


@contextlib.contextmanager
def _with_a_running_job(project: Project, query: Query, tree: HostTree) -> Generator[None]:
    """A limited job that runs in the only tree that there is, for as long as it is away."""
    tree.wait_event("supervisor.ready")
    query(_LIMITED.format("held", [1]))
    wait_until(lambda: _ledger(project) == ["began 1 alpha"], what=tree.reported)
    yield


def _rows(query: Query) -> dict[str, int]:
    """Return how many processes of each host are registered."""
    return {str(name): int(str(count)) for name, count in query(_ROWS)}
