"""One scheduler with thousands of recurring tasks: how soon it starts, how late it runs."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from jobsd.clock import monotonic

from . import tree
from .pairs import Case, Contender, Measured

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from .server import Database, Server

_TASKS = 10_000
_EACH_SECOND = 0.1
_SECONDS = 30.0
_PATIENCE_S = 60.0
_POLL_S = 0.01
_RUN = "  class: noop\n  args: [0]\n  schedule"

_FIGURES = b"""
SELECT
    percentile_cont(ARRAY[0.99, 0.5, 1]) WITHIN GROUP (
        ORDER BY extract(epoch FROM created_at - run_at)
    ),
    count(*),
    count(*) - count(DISTINCT job_id),
    (SELECT count(*) FROM jobsd.jobs) - count(DISTINCT job_id)
FROM jobsd.recurring_executions
WHERE job_id IS NOT NULL
"""
_LEFT_OUT = b"""
SELECT coalesce(sum(step - 1), 0) + (
    SELECT count(*) FROM jobsd.recurring_executions WHERE job_id IS NULL
)
FROM (
    SELECT extract(epoch FROM run_at - lag(run_at) OVER (
        PARTITION BY task_key ORDER BY run_at
    )) AS step
    FROM jobsd.recurring_executions
    WHERE task_key LIKE 'often-%%' AND job_id IS NOT NULL
) AS run
"""


def cases(server: Server, scale: float) -> Iterator[Case]:
    """Yield a tree whose scheduler has 10,000 tasks, a tenth of them for each second."""
    tasks = max(10, int(_TASKS * scale))
    often = max(1, int(tasks * _EACH_SECOND))
    yield Case(
        f"{tasks:,} tasks, {often:,} each second",
        Contender("jobsd", partial(_measure, server, tasks, often, max(2.0, _SECONDS * scale))),
        pairs_max=3,
        target="p99 ≤ 200 ms late, start ≤ 2 s, each run once",
    )


def _measure(server: Server, tasks: int, often: int, seconds: float) -> Measured:
    with server.database() as database:
        with _scheduler(database, tasks, often) as start_s:
            time.sleep(seconds)
        with database.connect() as connection:
            row = connection.execute(_FIGURES).fetchone()
            left_out = connection.execute(_LEFT_OUT).fetchone()
        assert row is not None  # noqa: S101 - an aggregate has one row
        assert left_out is not None  # noqa: S101
        (p99_s, p50_s, max_s), runs, twice, beside = row
    return Measured(
        {
            "late_p99_ms": p99_s * 1e3,
            "late_p50_ms": p50_s * 1e3,
            "late_max_ms": max_s * 1e3,
            "start_s": start_s,
            "runs": runs,
            "run_twice": twice + beside,
            "left_out": float(left_out[0]),
        }
    )


@contextlib.contextmanager
def _scheduler(database: Database, tasks: int, often: int) -> Generator[float]:
    """Have a tree of one scheduler; gives the seconds until all of its tasks were planned."""
    with tempfile.TemporaryDirectory(prefix="jobsd-benchmarks-") as folder:
        config, log = Path(folder) / "config", Path(folder) / "log"
        config.mkdir()
        (config / "queue.yml").write_text("import: [benchmarks.jobs]\n", encoding="utf-8")
        (config / "recurring.yml").write_text(_recurring(tasks, often), encoding="utf-8")
        began, started_at = monotonic(), time.time()
        with log.open("wb") as reported:
            supervisor = subprocess.Popen(
                [sys.executable, "-P", "-m", "jobsd.daemon", "start", "--only", "scheduler"],
                cwd=folder,
                env=tree.environment(database, folder),
                stdin=subprocess.DEVNULL,
                stdout=reported,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            while not (loaded_at := _loaded_at(log, tasks)):
                if supervisor.poll() is not None or monotonic() - began > _PATIENCE_S:
                    raise ChildProcessError("the scheduler has not come up")
                time.sleep(_POLL_S)
            yield loaded_at - started_at
        finally:
            supervisor.send_signal(signal.SIGTERM)
            supervisor.wait(_PATIENCE_S)


def _recurring(tasks: int, often: int) -> str:
    """Return a file of tasks: some for each second, the others for some minute of the day."""
    frequent = [f"often-{n}:\n{_RUN}: every second\n" for n in range(often)]
    rare = [f"rare-{n}:\n{_RUN}: {n % 60} {n // 60 % 24} * * *\n" for n in range(tasks - often)]
    return "".join(frequent + rare)


def _loaded_at(log: Path, tasks: int) -> float | None:
    """Return when the scheduler had planned all of its tasks, in seconds of the epoch."""
    for line in log.read_text(encoding="utf-8").splitlines():
        if '"recurring.loaded"' in line and line.endswith("}"):
            event = json.loads(line)
            if event["tasks"] == tasks:
                return datetime.fromisoformat(event["timestamp"]).timestamp()
    return None
