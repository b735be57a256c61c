"""The unit files, as systemd's own tools judge them."""

from __future__ import annotations

import difflib
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from .service import UNITS

if TYPE_CHECKING:
    from pathlib import Path

    from .box import Box

_NAMES = ("jobsd.service", "jobsd@.service")

needs_analyze = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed"
)


@needs_analyze
@pytest.mark.parametrize("name", _NAMES)
def test_the_units_leave_little_exposed(name: str) -> None:
    done = _analyze("security", "--offline=true", "--threshold=20", str(UNITS / name))

    assert done.returncode == 0, done.stdout


@needs_analyze
def test_a_unit_without_walls_would_be_found_out(tmp_path: Path) -> None:
    text = (UNITS / "jobsd.service").read_text()
    bare = "".join(f"{line}\n" for line in text.splitlines() if "Protect" not in line)
    (tmp_path / "jobsd.service").write_text(bare)

    done = _analyze("security", "--offline=true", "--threshold=20", str(tmp_path / _NAMES[0]))

    assert done.returncode == 1


@pytest.mark.parametrize("name", _NAMES)
def test_systemd_accepts_the_units(box: Box, name: str) -> None:
    done = box.run("systemd-analyze", "verify", f"/etc/systemd/system/{name}", check=False)

    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_the_instances_differ_only_in_their_names() -> None:
    one, many = ((UNITS / name).read_text().splitlines() for name in _NAMES)

    changed = [line for line in difflib.ndiff(one, many) if line[0] in "+-"]

    assert all("%i" in line for line in changed if line[0] == "+")
    assert len([line for line in changed if line[0] == "-"]) == 5


@pytest.mark.parametrize(
    "line",
    [
        "Type=notify",
        "NotifyAccess=main",
        "WatchdogSec=30s",
        "KillMode=mixed",
        "OOMPolicy=continue",
        "RestartPreventExitStatus=78",
        "Restart=on-failure",
    ],
)
def test_the_units_contain_the_promised_lines(line: str) -> None:
    for name in _NAMES:
        assert line in (UNITS / name).read_text().splitlines()


def test_user_and_folders_are_made(box: Box) -> None:
    assert box.ask("id", "-un", "jobsd") == "jobsd"
    assert box.ask("stat", "-c%a %U %G", "/etc/jobsd") == "750 root jobsd"


def _analyze(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["systemd-analyze", *words], capture_output=True, text=True, check=False
    )
