"""The comparison with other queues: ours runs whole; one that can't be had says why."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

MEASURED = {
    "drain_1x3_per_s",
    "coroutines_sleep_per_s",
    "enqueue_per_s",
    "bulk_per_s",
    "p50_ms",
    "p99_ms",
    "idle_cpu_s_per_min",
    "memory_mib",
}
ROOT = Path(__file__).resolve().parents[2]


def _measure(*options: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", "peers", *options],
        cwd=ROOT,
        env={**os.environ, **variables},
        check=False,
        capture_output=True,
        text=True,
    )


@pytest.mark.timeout(400)
def test_jobsd_is_measured_and_a_missing_peer_gets_a_row(
    durable_url: str, tmp_path: Path
) -> None:
    # A machine that has next to no programs.
    (tmp_path / "stat").symlink_to(str(shutil.which("stat")))
    size = ("--pairs", "1", "--scale", "0.005", "--database-url", durable_url, "--json")

    cases = ("--case", "jobsd", "--case", "driver", "--case", "solid")
    done = _measure(*size, *cases, PATH=str(tmp_path))

    assert done.returncode == 0, done.stderr
    ours, driver, theirs = json.loads(done.stdout)["rows"]
    assert (ours["peer"], ours["problem"]) == ("jobsd", "")
    assert set(ours["medians"]) >= MEASURED
    assert set(driver["medians"]) == {"enqueue_per_s", "bulk_per_s"}
    assert (theirs["peer"], theirs["problem"]) == ("Solid Queue", "needs Ruby")
    assert theirs["medians"] == {}


def test_one_part_is_measured_alone(durable_url: str) -> None:
    size = ("--pairs", "2", "--scale", "0.005", "--database-url", durable_url, "--json")

    done = _measure(*size, "--case", "jobsd", "--part", "latency", "--part", "bulk")

    assert done.returncode == 0, done.stderr
    (ours,) = json.loads(done.stdout)["rows"]
    assert set(ours["medians"]) == {"bulk_per_s", "start_ms", "p50_ms", "p99_ms"}
    assert len(ours["figures"]["start_ms"]) == 2 * 10


def test_the_page_is_not_written_from_one_part() -> None:
    done = _measure("--part", "bulk", "--write")

    assert done.returncode == 2
    assert "--part is for peers, whose page (--write) has all parts" in done.stderr


def test_an_unknown_peer_is_refused_with_the_list_of_known_ones() -> None:
    done = _measure("--case", "nobody")

    assert done.returncode != 0
    assert "there are jobsd, the driver alone, graphile-worker" in done.stderr


_ASKED = """
import json
from benchmarks.peers import harness, page
from benchmarks.peers.rounds import Found

def found(peer, runs=True, **figures):
    return Found(peer, "1", "", runs, figures={key: [value] for key, value in figures.items()})

rows = [
    found("jobsd", bulk_per_s=20.0),
    found("the driver alone", runs=False, bulk_per_s=25.0),
    found("b", bulk_per_s=10.0),
]
# Of two rounds: percentiles are of all starts together, not medians of each round's.
rows[0].figures["start_ms"] = [1.0, 1.0, 3.0, 9.0, 9.0]
rows[2].figures["start_ms"] = [1.0, 1.0, 1.0]
urls = ["host=/run/x user=me dbname=d", "host=h port=1 user=me password=a@b dbname=d"]
page_text = page.markdown(rows, {"fsync": "on"}, 1)
said = [
    "Traceback\\n  File 'a.py'\\nValueError: no\\nnpm notice",
    "a.rb:5:in `exec': ERROR:  null (NotNull)\\n\\tfrom error.rb:3:in `f'",
    "killed",
    "",
]
reasons = [harness.reason(text) for text in said]
print(json.dumps([page_text, reasons, *map(harness.database_url, urls)]))
"""


def test_the_page_marks_the_best_names_errors_and_every_driver_reads_the_urls() -> None:
    # In a process of its own: here `benchmarks` is the folder of these tests.
    asked = [sys.executable, "-c", _ASKED]
    done = subprocess.run(asked, cwd=ROOT, check=True, capture_output=True, text=True)

    written, reasons, by_socket, by_host = json.loads(done.stdout)
    assert "| **20.0** | 3.00 | 9.00 |" in written
    assert "| 10.0 | **1.00** | **1.00** |" in written
    assert "| 25.0 |" in written
    assert (
        "reaches 0.80 of it and 2.00 of b, the fastest other queue, of which the driver alone"
        " reaches 2.50."
    ) in written
    assert reasons == [
        "ValueError: no",
        "a.rb:5:in `exec': ERROR:  null (NotNull)",
        "killed",
        "it said nothing",
    ]
    assert by_socket == "postgresql://me@%2Frun%2Fx/d"
    assert by_host == "postgresql://me:a%40b@h:1/d"
