"""Two trees on one database, and everything that can befall them, for a while."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from chaos.report import document
from chaos.run import Requests, run

pytestmark = pytest.mark.system

ROOT = Path(__file__).parents[2]


@pytest.mark.failure(
    "Everything on this page at random, on two trees with one database, for six seconds; for"
    " five minutes, in a long test.",
    "Nothing is lost, doubled, stuck or leaked; no limit and no number of attempts exceeded.",
)
@pytest.mark.timeout(90)
def test_whatever_befalls_the_trees_nothing_is_lost_doubled_or_stuck() -> None:
    result = run(Requests(seconds=6, seed=1, pace_s=0.3))

    assert result.good, json.dumps(document(result), indent=1)
    assert (sum(result.troubles.values()) > 10, result.counts["runs"] > 200) == (True, True)


@pytest.mark.failure(
    "Everything on this page at random, on two trees with one database, for six seconds; for"
    " five minutes, in a long test.",
    "Nothing is lost, doubled, stuck or leaked; no limit and no number of attempts exceeded.",
)
@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", [1, 2])
def test_neither_is_it_in_five_minutes(seed: int) -> None:
    result = run(Requests(seconds=300, seed=seed))

    assert result.good, json.dumps(document(result), indent=1)


@pytest.mark.long
def test_the_command_reports_its_run_and_leaves_nothing_behind() -> None:
    environ = {
        key: value for key, value in os.environ.items() if key != "JOBSD_TEST_DATABASE_URL"
    }
    command = ["-m", "tests.chaos", "--minutes", "0.05", "--seed", "1", "--json"]
    done = subprocess.run(
        [sys.executable, *command],
        cwd=ROOT, env=environ, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip

    reported = json.loads(done.stdout)
    assert (done.returncode, reported["seed"], set(reported["figures"].values())) == (0, 1, {0})
