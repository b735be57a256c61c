"""The wall clock of the machine may jump: no loop looks at it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from failures.wrapped import free_address, health
from system.jobs import enqueue
from waiting import let_pass, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.project import Project

    Query = Callable[[str], list[tuple[object, ...]]]

pytestmark = pytest.mark.system

LIBRARIES = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
# Of the machine, against what it was when the tree began.
JUMPS = ("+2h", "-4h")
BEATS = """
SELECT max(extract(epoch FROM now() - last_heartbeat_at)) < 7 FROM jobsd.processes
"""
TICKS = """
SELECT count(*), count(DISTINCT run_at), bool_and(abs(extract(epoch FROM run_at - now())) < 60),
    extract(epoch FROM max(run_at))::float, extract(epoch FROM now())::float
FROM jobsd.recurring_executions
"""


@pytest.fixture
def clock(tmp_path: Path) -> Path:
    """A file that says how far the wall clock of a tree is off."""
    if not LIBRARIES:
        pytest.skip("libfaketime is not installed")
    path = tmp_path / "clock"
    _set(path, "+0")
    return path


def _set(clock: Path, ahead: str) -> None:
    """Let the clock jump: by one rename, for nobody may read half of the file."""
    new = clock.with_suffix(".new")
    new.write_text(ahead, encoding="ascii")
    new.rename(clock)


@pytest.mark.failure(
    "the machine's clock jumps two hours ahead, then six back",
    "no process is killed or replaced; what is due runs when it is due, recurring tasks keep"
    " their instants, heartbeats stay recent: loops measure durations, and the database has"
    " the time",
)
def test_a_jump_of_the_clock_changes_nothing(
    project: Project, query: Query, clock: Path
) -> None:
    project.write(
        "config/queue.yml", "import: [trial_jobs]\nsupervisor: {heartbeat_interval: 0.2}\n"
    )
    project.write(
        "config/recurring.yml", "beat: {class: HeartbeatJob, schedule: every second}\n"
    )
    bind = free_address()
    environ = {
        "LD_PRELOAD": str(LIBRARIES[0]),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "JOBSD_METRICS_BIND": bind,
    }
    with project.start(**environ) as tree:
        tree.wait_event("supervisor.ready")
        enqueue(query, "quick", 0)
        wait_until(lambda: query(TICKS)[0][0])
        before = {child.pid for child in tree.children()}
        for jump in JUMPS:
            _set(clock, jump)
            ran, *_, last, _ = query(TICKS)[0]
            enqueue(query, "quick", 1)
            query("SELECT jobsd.enqueue('trial_jobs.quick', '[2]', wait => '0.5 s')")
            wait_until(
                lambda: query("SELECT FROM jobsd.jobs WHERE finished_at IS NULL") == [],
                2,
                tree.reported,
            )
            let_pass(2.1)
            wait_until(lambda ran=ran: query(TICKS)[0][0] > ran, 2, tree.reported)  # type: ignore[misc]
            ticks, instants, near, _, now = query(TICKS)[0]
            planned = float(str(now)) - float(str(last))
            assert int(str(ticks)) - int(str(ran)) <= planned, tree.reported()
            assert (instants, near) == (ticks, True)
            assert query(BEATS) == [(True,)]
            wait_until(lambda: health(bind) == 200, 2, tree.reported)

        assert {child.pid for child in tree.children()} == before, tree.reported()
        assert tree.events("process.hung") == []
        assert _shifts_reported(tree.events()) >= 2
        assert tree.terminate() < 2


def _shifts_reported(events: list[dict[str, str]]) -> int:
    """Return how many hours the log's times span: that the clock has jumped at all."""
    hours = {event["timestamp"][:13] for event in events if "timestamp" in event}
    return len(hours)
