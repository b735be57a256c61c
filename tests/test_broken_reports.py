"""A run of tests goes on when the report of a failure can't be made at once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parent

FAILING = """
import ast

import pytest

parse, left = ast.parse, [{times}]


def mismatch(*given, **more):
    if left[0]:
        left[0] -= 1
        raise {error}("no report")
    return parse(*given, **more)


def test_that_fails(monkeypatch):
    ast.parse = mismatch
    assert 1 == 2, "it has failed"


def test_behind_it():
    ast.parse = parse


@pytest.mark.xfail(strict=True)
def test_that_is_to_fail():
    assert 1 == 2
"""


@pytest.mark.parametrize("error", ["SystemError", "TypeError"])
@pytest.mark.parametrize(
    ("times", "reported"), [(3, "AssertionError: it has failed"), (10**6, "can't be shown")]
)
def test_a_report_that_can_not_be_made_at_once_ends_no_run(
    tmp_path: Path, times: int, reported: str, error: str
) -> None:
    failing = FAILING.format(times=times, error=error)
    (tmp_path / "test_failing.py").write_text(failing, encoding="utf-8")
    (tmp_path / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")

    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "broken_reports", "-p", "no:cacheprovider"],
        cwd=tmp_path, env={"PYTHONPATH": str(TESTS), "PATH": ""},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip

    assert done.returncode == 1, done.stdout + done.stderr
    assert "1 failed, 1 passed, 1 xfailed" in done.stdout
    assert reported in done.stdout
