"""Hosts whose clocks are an hour off: nothing but the server's clock counts."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness.project import COMMAND_MAX_S
from waiting import let_pass, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.project import Project
    from hosts.network import Host, Network

    Query = Callable[[str], list[tuple[object, ...]]]

pytestmark = pytest.mark.system

HOUR_S = 3600
QUEUE = """
import: [trial_jobs]
dispatchers: [{}]
workers: [{}]
supervisor: {heartbeat_interval: 0.5, process_alive_threshold: 3}
jobs: {clear_finished_jobs_after: 1800}
monitor: {bind: "127.0.0.1:9394"}
"""
RECURRING = """
tick: {class: trial_jobs.tick, schedule: every second}
beat: {class: HeartbeatJob, schedule: every second, run_at_start: true}
clear: {command: "jobsd.clear_finished_in_batches()", schedule: every second}
"""
_ENQUEUE = """
import sys
from jobsd import configure, enqueue_many
configure(sys.argv[1])
sys.path.insert(0, sys.argv[2])
import trial_jobs
for n in range(5):
    trial_jobs.quick.enqueue(n)
    trial_jobs.quick.using(wait=1).enqueue(100 + n)
"""
_ASK = """
import sys, urllib.request
print(urllib.request.urlopen("http://127.0.0.1:9394" + sys.argv[1]).read().decode())
"""
# Half a minute: a busy machine delays less, and clocks that counted would be off by an hour.
_LATE = """
SELECT id, class_name, created_at, started_at, finished_at FROM jobsd.jobs
WHERE extract(epoch FROM coalesce(started_at, now()) - coalesce(scheduled_at, created_at))
        NOT BETWEEN -0.1 AND 30
    OR extract(epoch FROM coalesce(finished_at, now()) - coalesce(started_at, now()))
        NOT BETWEEN -0.1 AND 30
    OR created_at NOT BETWEEN now() - '1 min'::interval AND now()
"""
_OFF = """
SELECT run_at FROM jobsd.recurring_executions
WHERE run_at NOT BETWEEN now() - '1 min'::interval AND now()
UNION ALL
SELECT executed_at FROM jobsd.heartbeat_logs
WHERE executed_at NOT BETWEEN now() - '1 min'::interval AND now()
UNION ALL
SELECT last_heartbeat_at FROM jobsd.processes
WHERE last_heartbeat_at NOT BETWEEN now() - '3 s'::interval AND now()
"""
_TICKS = """
SELECT count(*), count(DISTINCT run_at), extract(epoch FROM max(run_at) - min(run_at))::int + 1
FROM jobsd.recurring_executions WHERE task_key = 'tick'
"""
_CLEARED = """
SELECT count(*) FILTER (WHERE class_name = 'trial_jobs.quick'),
    bool_or(class_name = 'RecurringCommandJob' AND outcome = 'finished')
FROM jobsd.jobs
"""
_BAD = ("process.pruned", "recurring.missed", "recurring.conflict", "process.exited")
_BAD_TOO = ("database.unavailable", "claims.lost", "supervisor.stalled", "process.deregistered")


@pytest.mark.failure(
    "The clocks of two hosts are an hour behind and an hour ahead.",
    "Heartbeats, dispatch, recurring tasks, retention and latency go by the server's clock:"
    " nothing is early, late, pruned or cleared.",
)
def test_clocks_that_are_an_hour_off_change_nothing(
    net: Network, project: Project, query: Query
) -> None:
    behind_env, ahead_env = _clock(-HOUR_S), _clock(HOUR_S)
    project.write("config/queue.yml", QUEUE)
    project.write("config/recurring.yml", RECURRING)
    environ = {"JOBSD_METRICS_BIND": ""}
    with (
        net.host("behind") as behind,
        net.host("ahead") as ahead,
        behind.start(project, **environ, **behind_env) as early,
        ahead.start(project, **environ, **ahead_env) as late,
    ):
        for tree in (early, late):
            tree.wait_event("supervisor.ready")
            tree.wait_event("recurring.loaded")
        _run(behind, project, _ENQUEUE, net.url, str(project.root), **behind_env)
        _run(ahead, project, _ENQUEUE, net.url, str(project.root), **ahead_env)
        wait_until(lambda: _ran(project) == 20, what=late.reported)
        let_pass(8)  # longer than a heartbeat may stand

        # Ticks go on: sooner or later either host has run one, and beats again.
        wait_until(lambda: _clocks(project) == {"behind": -1, "ahead": 1}, what=late.reported)
        assert query(_LATE) == []
        wait_until(lambda: query(_OFF) == [], what=lambda: str(query(_OFF)))
        ((ticks, instants, seconds),) = query(_TICKS)
        assert ticks == instants == seconds
        assert query(_CLEARED) == [(20, True)]
        for host, tree in ((behind, early), (ahead, late)):
            assert [tree.events(name) for name in (*_BAD, *_BAD_TOO) if tree.events(name)] == []
            assert _waited_s(host, project) < 60
            assert _run(host, project, _ASK, "/healthz")


def _clock(seconds: int) -> dict[str, str]:
    """Return the variables with which a program sees another time, but no other duration."""
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    if not found:
        pytest.skip("libfaketime is not installed (Debian: faketime)")
    return {
        "LD_PRELOAD": str(found[0]),
        "FAKETIME": f"{seconds:+d}s",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "NO_FAKE_STAT": "1",
    }


def _run(host: Host, project: Project, program: str, *arguments: str, **environ: str) -> str:
    """Run a program on the host; return what it prints."""
    done = subprocess.run(
        [*host.prefix, sys.executable, "-c", program, *arguments],
        env={**project.environ, **environ},
        capture_output=True,
        text=True,
        timeout=COMMAND_MAX_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def _lines(project: Project) -> list[list[str]]:
    path = project.root / "ledger"
    return [line.split() for line in path.read_text().splitlines()] if path.exists() else []


def _ran(project: Project) -> int:
    return sum(line[0] == "ran" for line in _lines(project))


def _clocks(project: Project) -> dict[str, int]:
    """Return how many hours the clock of each host is off, by what jobs there saw."""
    now = time.time()
    return {line[-2]: round((float(line[-1]) - now) / HOUR_S) for line in _lines(project)}


def _waited_s(host: Host, project: Project) -> float:
    """Return how long all jobs together have waited, by the metrics of the host's tree."""
    lines = _run(host, project, _ASK, "/metrics").splitlines()
    sums = [line for line in lines if line.startswith("jobsd_job_wait_seconds_sum")]
    assert sums
    return sum(float(line.split()[-1]) for line in sums)
