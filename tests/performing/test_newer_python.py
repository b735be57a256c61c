"""The tests of time limits and cancels, with a newer Python than the one that runs this."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PYTHON = os.environ.get("JOBSD_TEST_DJANGO6_PYTHON", "")
TESTS = (
    *("tests/performing/test_raising.py", "tests/performing/test_shapes.py"),
    *("tests/performing/test_interrupts.py", "tests/worker/test_cancels.py"),
    "tests/worker/test_threads_of_jobs.py",
    *("tests/scoreboard/test_hard_limits.py", "tests/docs/test_time_limits_page.py"),
    "tests/system/test_time_limits.py",
)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("tests", TESTS)
@pytest.mark.skipif(not PYTHON, reason="JOBSD_TEST_DJANGO6_PYTHON names no newer Python")
def test_limits_and_cancels_hold_with_a_newer_python(tests: str, server_url: str) -> None:
    # The sources that lie here, also where these are a copy.
    here = {"PYTHONPATH": str(ROOT / "src"), "JOBSD_TEST_DATABASE_URL": server_url}
    done = subprocess.run(
        [Path(PYTHON).parent / "pytest", "-q", "-p", "no:cacheprovider", tests],
        cwd=ROOT,
        env=os.environ | here,
        check=False,
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    assert " passed" in done.stdout
