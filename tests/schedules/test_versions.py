"""The oldest croniter that we take and the newest give the same runs."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from layout.house import ROOT

_FLOOR = re.compile(r"^croniter>=([\d.]+)", re.MULTILINE)
PROGRAM = Path(__file__).with_name("runs.py")


def _oldest() -> str:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (version,) = _FLOOR.findall("\n".join(project["dependencies"]))
    return str(version)


def _install(version: str, folder: Path) -> None:
    pip = [sys.executable, "-m", "pip", "install", "-q", "--retries", "0", "--timeout", "20"]
    done = subprocess.run(
        [*pip, "--target", str(folder), f"croniter=={version}"],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"no index has croniter {version}: {done.stderr[-300:]}")


def _runs(*folders: Path) -> tuple[str, dict[str, list[str]]]:
    path = os.pathsep.join([*map(str, folders), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, str(PROGRAM)],
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        check=True,
    )
    version, runs = json.loads(done.stdout)
    return version, runs


def test_the_oldest_croniter_and_the_newest_give_the_same_runs(tmp_path: Path) -> None:
    _install(_oldest(), tmp_path)

    old, before = _runs(tmp_path)
    new, after = _runs()

    assert old == _oldest()
    if new == old:
        pytest.skip("the oldest croniter is the one that is installed")
    assert {cron: runs for cron, runs in before.items() if runs != after[cron]} == {}
    assert len(before) > 1000
