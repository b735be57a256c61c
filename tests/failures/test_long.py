"""What takes its time to break: long crash loops, and more processes than anybody has."""

from __future__ import annotations

import random
import signal
from datetime import datetime
from itertools import pairwise
from typing import TYPE_CHECKING

import psutil
import pytest

from failures.asking import finished
from system.jobs import enqueue_many
from waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.project import Project

    Query = Callable[[str], list[tuple[object, ...]]]

pytestmark = [pytest.mark.system, pytest.mark.long]

WORKERS = 80
WAITS_S = (0.5, 1, 2, 4, 8, 16, 30, 30)


@pytest.mark.failure(
    "a worker dies at each start, for minutes",
    "the pauses double from a quarter of a second to half a minute and stay there; the"
    " supervisor never gives up; it takes hardly any processor time, and the log stays small",
)
@pytest.mark.timeout(300)
def test_a_long_crash_loop_is_cheap_and_never_given_up(project: Project, query: Query) -> None:
    text = (project.root / "trial_jobs.py").read_text(encoding="utf-8")
    project.write("trial_jobs.py", f"import os\nif os.path.exists('no'): os._exit(9)\n{text}")
    with project.start() as tree:
        tree.wait_event("supervisor.ready")
        (project.root / "no").touch()
        tree.children("worker")[0].kill()
        tree.wait_event("process.exited", len(WAITS_S) + 2, within_s=150)
        times = psutil.Process(tree.process.pid).cpu_times()
        lines = len(tree.lines)
        (project.root / "no").unlink()
        enqueue_many(query, "quick", [(1,)])
        wait_until(lambda: query("SELECT FROM jobsd.jobs WHERE finished_at IS NULL") == [], 35)

        ends = [
            datetime.fromisoformat(event["timestamp"])
            for event in tree.events("process.exited")
        ]
        waits = [(b - a).total_seconds() for a, b in pairwise(ends[1:])]
        assert len(waits) == len(WAITS_S)
        assert all(0.8 * e < w < e + 0.5 for w, e in zip(waits, WAITS_S, strict=True)), waits
        assert (times.user + times.system < 2, lines < 100) == (True, True)


@pytest.mark.failure(
    "a tree of eighty workers loses twenty of them at once, is reloaded, is stopped",
    "all have successors, all are replaced one by one, and the end takes no longer than with"
    " one worker",
)
@pytest.mark.timeout(300)
def test_eighty_workers_are_supervised_like_one(project: Project, query: Query) -> None:
    project.write(
        "config/queue.yml",
        "import: [trial_jobs]\nworkers:\n"
        + f"  - {{processes: {WORKERS // 2}, threads: 1}}\n" * 2,
    )
    rows = "SELECT count(*) FROM jobsd.processes WHERE kind = 'worker'"
    with project.start() as tree:
        tree.wait_event("supervisor.ready", within_s=60)
        wait_until(lambda: query(rows) == [(WORKERS,)], 30)
        for victim in random.Random(7).sample(tree.children("worker"), 20):  # noqa: S311
            victim.kill()
        tree.wait_event("process.replaced", 20)
        enqueue_many(query, "quick", [(n,) for n in range(500)])
        finished(query, 500, tree.reported)
        tree.process.send_signal(signal.SIGHUP)
        tree.wait_event("supervisor.reloaded", within_s=120)

        assert tree.events("process.hung") == []
        assert tree.terminate() < 6
        tree.assert_clean_exit()
    assert query("SELECT FROM jobsd.processes") == []
