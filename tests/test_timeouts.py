"""A test that hangs is ended at its timeout, also where hypothesis runs it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from waiting import Stopwatch

TESTS = Path(__file__).parent

HANGING = """
import threading

from hypothesis import example, given, settings
from hypothesis.strategies import integers


def test_by_itself():
    threading.Event().wait(60)


@settings(deadline=None)
@given(integers())
def test_drawn(number):
    if abs(number) > 3:
        threading.Event().wait(60)


@settings(deadline=None)
@given(integers())
@example(1)
@example(2)
def test_explicit(number):
    threading.Event().wait(60)


def test_behind_them():
    pass
"""


@pytest.mark.parametrize("named", ["by_itself", "drawn", "explicit"])
def test_a_hang_is_ended_at_the_timeout_and_the_run_goes_on(tmp_path: Path, named: str) -> None:
    (tmp_path / "test_hanging.py").write_text(HANGING, encoding="utf-8")
    (tmp_path / "pytest.ini").write_text("[pytest]\ntimeout = 1\n", encoding="utf-8")
    watch = Stopwatch()

    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-p", "timeouts", "-p", "no:cacheprovider"),
            *("-k", f"{named} or behind"),
        ],
        cwd=tmp_path,
        env={"PYTHONPATH": str(TESTS), "PATH": ""},
        capture_output=True,
        text=True,
        timeout=40,
        check=False,
    )

    assert done.returncode == 1, done.stdout + done.stderr
    assert "1 failed, 1 passed" in done.stdout
    assert "Timeout (>1.0s) from pytest-timeout" in done.stdout
    assert watch.took() < 20
