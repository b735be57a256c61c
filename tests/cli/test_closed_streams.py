"""Commands and a daemon whose starter has closed stdin, stdout or stderr."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import psutil
import pytest

from harness.tree import COMMAND
from waiting import wait_until

if TYPE_CHECKING:
    from system.commands import Commands

_ALL = "<&- >&- 2>&-"


@pytest.mark.parametrize("closed", ["<&-", "2>&-"])
def test_a_command_ends_as_ever(closed: str) -> None:
    done = subprocess.run(_closing(closed, "version"), capture_output=True, check=False)

    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.failure(
    "the stdout of a command is closed",
    "if it prints, it says that this is lost, and ends with 1; without output it ends as ever",
)
@pytest.mark.parametrize("closed", [">&-", _ALL])
def test_lost_output_is_reported(closed: str) -> None:
    done = subprocess.run(_closing(closed, "version"), capture_output=True, check=False)
    silent = subprocess.run(_closing(closed, "statsu"), capture_output=True, check=False)

    said = b"error: can't write the output: stdout is closed\n"
    assert (done.returncode, done.stderr) == (1, b"" if "2" in closed else said)
    assert (silent.returncode, silent.stdout) == (2, b"")


def test_an_error_is_not_written_to_standard_output() -> None:
    done = subprocess.run(_closing("2>&-", "statsu"), capture_output=True, check=False)

    assert (done.returncode, done.stdout) == (2, b"")


@pytest.mark.system
def test_a_daemon_runs_and_ends(run: Commands) -> None:
    command = _closing(_ALL, "start", "--metrics-bind", "off")
    with subprocess.Popen(command, cwd=run.project.root, env=run.project.environ) as started:
        wait_until(lambda: run("status").returncode == 0, 10)

        psutil.Process(started.pid).terminate()

        assert started.wait(10) == 0


def _closing(closed: str, *arguments: str) -> list[str]:
    return ["sh", "-c", f'exec "$@" {closed}', "sh", *COMMAND, *arguments]
