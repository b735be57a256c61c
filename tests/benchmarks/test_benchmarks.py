"""Every benchmark runs, in a tiny size: what it measures is no matter of a test."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from psycopg import conninfo

ROOT = Path(__file__).resolve().parents[2]
CASES = {
    "enqueue": ("one at a time", "in a caller's transaction"),
    "asynchronous": ("at a time", "at once"),
    "drain": ("1x3 no-op",),
    "latency": ("every 20 ms beside",),
    "parts": ("every 20 ms",),
    "idle": ("default tree",),
    "memory": ("default tree",),
    "growth": ("drain, 5,000 finished", "enqueue, 5,000 scheduled"),
    "old_snapshot": ("after",),
    "limits": ("enqueue in bulk", "10 keys"),
    "clear": ("drain",),
    "recurring": ("each second",),
    "unknown": ("drain beside", "drain behind", "first start", "two services"),
    "processes": ("4 processes",),
    "spread": ("priorities", "by a pattern"),
    "commands": ("config show", "status", "complete show"),
    "web": ("/limits", "/history"),
    "web_drain": ("drain",),
    "scrape": ("3,000 queues",),
    "async": ("no-op", "sleep"),
    "kinds": ("time limit", "unique", "result"),
    "capacity": ("plain", "retried", "scheduled"),
}
# A job may begin before who has stored it goes on, on a machine that has others to run.
FROM_RETURN = {"p50_ms", "p95_ms", "p99_ms", "max_ms", "notification_ms"}


def _run(name: str, url: str, *options: str) -> subprocess.CompletedProcess[str]:
    chosen = [word for case in CASES[name] for word in ("--case", case)]
    size = ("--pairs", "1", "--scale", "0.005", "--database-url", url)
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", name, *size, *chosen, *options],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )


def _rows(name: str, url: str) -> dict[str, Any]:
    done = _run(name, url, "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["benchmark"] == name
    assert document["server"]["fsync"] == "on"
    return {row["case"]: row for row in document["rows"]}


@pytest.mark.parametrize("name", sorted(CASES.keys() - {"enqueue"}))
def test_a_benchmark_reports_figures_of_each_case_as_json(name: str, durable_url: str) -> None:
    rows = _rows(name, durable_url)

    assert len(rows) == len(CASES[name])
    for row in rows.values():
        figures = row["subject"]["figures"]
        assert all(figure >= 0 for key, figure in figures.items() if key not in FROM_RETURN)
        assert all(math.isfinite(figure) for figure in figures.values())
        assert (row["reference"] is None) == (row["ratio"] is None)


def test_the_cost_of_the_bare_driver_matches_its_statements(durable_url: str) -> None:
    rows = _rows("enqueue", durable_url)
    costs = {case: row["reference"]["usage"] for case, row in rows.items()}

    # But for what it takes to connect and to warm up, spread over 25 jobs.
    assert costs["one at a time"]["statements"] == 1
    assert 1 <= costs["one at a time"]["transactions"] < 1.5
    assert 1 <= costs["one at a time"]["round_trips"] < 1.5
    assert 4 <= costs["in a caller's transaction"]["round_trips"] < 5
    assert costs["one at a time"]["wal_bytes"] > 100


def test_the_costs_of_a_session_that_ends_late_are_counted(durable_url: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.late_session", durable_url],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stderr
    # The last one may be that of the session's start.
    assert 25 <= int(done.stdout) <= 26


def test_a_benchmark_prints_a_table_and_the_environment_it_ran_in(durable_url: str) -> None:
    done = _run("drain", durable_url)

    assert done.returncode == 0, done.stderr
    assert "1x3 no-op" in done.stdout
    assert "prototype" in done.stdout
    assert "PostgreSQL fsync on" in done.stdout


def test_a_server_that_may_lose_commits_is_refused(durable_url: str) -> None:
    url = conninfo.make_conninfo(durable_url, options="-c synchronous_commit=off")
    done = _run("drain", url)

    assert done.returncode == 1
    assert "synchronous_commit is off" in done.stderr
