"""What CI runs, as it is run where nobody has said anything about languages."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

from layout.house import ROOT, bare_environment, tool

_TESTS = "tests/database/test_migrate.py"


@pytest.mark.failure(
    "The machine of CI has no locale: neither LANG nor LC_ALL is set.",
    "The servers that are made for the tests store UTF-8 all the same, and all tests pass.",
)
@pytest.mark.parametrize("names", [{}, {"LC_ALL": "C"}, {"LANG": "POSIX"}])
def test_the_server_of_ci_stores_every_text_whatever_the_locale(names: dict[str, str]) -> None:
    if not list(Path("/usr/lib/postgresql").glob("*/bin/initdb")):
        pytest.skip("no PostgreSQL of the system's is installed")

    done = subprocess.run(
        ["bash", ".ci/run", "system", _TESTS, "-q"],
        cwd=ROOT,
        env={**bare_environment(), **names},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout


def test_a_process_that_a_test_leaves_behind_does_not_hold_the_run(tmp_path: Path) -> None:
    followed = re.search(
        r"^followed\(\) \{$.*?^\}$", (ROOT / ".ci/run").read_text(), re.MULTILINE | re.DOTALL
    )
    assert followed is not None
    program = f"""
        {followed[0]}
        told={tmp_path}
        leave_one() {{ sleep 60 & echo $! >"$told/left"; seq 3; return 7; }}
        followed suite leave_one
    """

    done = subprocess.run(
        ["bash", "-c", program], capture_output=True, text=True, check=False, timeout=30
    )

    os.kill(int((tmp_path / "left").read_text()), signal.SIGTERM)
    assert (done.stdout, done.returncode) == ("1\n2\n3\n", 7)


def test_the_rooms_of_which_a_share_runs_are_there() -> None:
    text = (ROOT / ".ci/run").read_text()
    around, trees = (
        " ".join(re.findall(rf"^{name}\+?=\((.+)\)$", text, re.MULTILINE)).split()
        for name in ("around", "trees")
    )

    assert len(around) > 10
    assert [room for room in around + trees if not (ROOT / "tests" / room).is_dir()] == []
    engine = {"worker", "jobs", "enqueueing", "acts", "states", "chaos"}
    assert not {*engine, *trees} & set(around)
    assert not engine & set(trees)


@pytest.mark.parametrize("drawn", [0, 1])
def test_the_tasks_of_django_6_run_whichever_eighth_is_drawn(drawn: int) -> None:
    text = (ROOT / ".ci/run").read_text()
    lists = re.findall(r"^(?:around|trees|always)\+?=\(.+\)$", text, re.MULTILINE)
    suite = re.search(r"^test_the_suite\(\) \{$.*?^\}$", text, re.MULTILINE | re.DOTALL)
    assert suite is not None
    shows = [f"lot() {{ echo {drawn}; }}", r"ends_with_us=(printf '%s\n')", "test_the_suite"]
    program = "\n".join([*lists, suite[0], *shows])
    words = subprocess.run(
        ["bash", "-euc", program], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    shares = words[words.index("--share-of") + 1]

    done = subprocess.run(
        [tool("pytest"), "-q", "--collect-only", "--share-of", shares, "tests/django_app"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )

    collected = {line.partition("::")[0] for line in done.stdout.splitlines() if "::" in line}
    assert "tests/django_app/test_tasks.py" in collected
    assert len(collected) < len([*(ROOT / "tests/django_app").glob("test_*.py")])
