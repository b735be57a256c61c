"""An interrupt before a command has begun: it ends with 130, and without a word."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import venv
from typing import TYPE_CHECKING

import pytest

from jobsd.daemon.generate.new_project import write_project
from layout.house import ROOT

if TYPE_CHECKING:
    from pathlib import Path

_AT_AN_IMPORT = """
import signal, sys

class Dropped:
    def __del__(self):
        raise KeyboardInterrupt

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            {what}

sys.meta_path.insert(0, Finder())
sys.argv = ["jobsd", {command!r}]
from jobsd.daemon.entry_point import main
main()
"""
_SIGNAL = "signal.raise_signal(signal.SIGINT)"


def _interrupted(
    module: str, what: str, *, command: str = "version", ignored: bool = False
) -> tuple[int, str, str]:
    code = _AT_AN_IMPORT.format(module=module, what=what, command=command)
    before = signal.signal(signal.SIGINT, signal.SIG_IGN) if ignored else None
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-c", code],
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        if ignored:
            signal.signal(signal.SIGINT, before)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("module", ["click", "jobsd.daemon.commands.version"])
def test_an_interrupt_while_a_command_is_loaded_is_its_end(module: str) -> None:
    assert _interrupted(module, _SIGNAL) == (130, "", "")


def test_an_interrupt_that_python_drops_is_not_lost() -> None:
    assert _interrupted("jobsd.daemon.commands.version", "Dropped()") == (130, "", "")


def test_a_process_that_ignores_interrupts_continues() -> None:
    status, reported, wrong = _interrupted("click", _SIGNAL, ignored=True)

    assert (status, reported[:6], wrong) == (0, "jobsd ", "")


def test_once_a_command_has_begun_an_interrupt_is_an_exception() -> None:
    # `check` loads it when it runs; what it has opened may have to be closed.
    what = f"print('begun'); {_SIGNAL}"
    status, reported, wrong = _interrupted(
        "jobsd.daemon.tree.import_check", what, command="check"
    )

    assert (status, reported, wrong.strip()) == (130, "begun\n", "")


def test_a_second_interrupt_while_the_first_is_reported_is_the_end() -> None:
    # `check` loads the one when it runs, and the report of its end the other.
    first = "jobsd.daemon.tree.import_check"
    what = f"{_SIGNAL}\n        if name == 'jobsd.daemon.tree.exits':\n            {_SIGNAL}"

    assert _interrupted(first, what, command="check") == (130, "", "\n")


def test_an_interrupt_before_the_output_is_written_is_the_end() -> None:
    code = (
        "import signal, sys\n"
        "from jobsd.daemon import entry_point\n"
        "from jobsd.daemon.cli import cli\n"
        "class Late(type(sys.stdout)):\n"
        "    def write(self, text): self.flush = lambda: signal.raise_signal(signal.SIGINT)\n"
        "sys.stdout = Late(sys.stdout.buffer)\n"
        "sys.argv[1:] = ['version']; entry_point.main()"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stderr) == (130, "")


def test_nothing_of_python_is_loaded_before_interrupts_are_the_end(tmp_path: Path) -> None:
    code = (ROOT / "packaging/jobsd").read_text(encoding="utf-8")
    script = tmp_path / "jobsd"
    script.write_text(
        "import sys; before = set(sys.modules)\n"
        "import jobsd.daemon.interrupts as interrupts\n"
        "def print_loaded(): print(*sorted(set(sys.modules) - before)); sys.exit()\n"
        f"interrupts.are_the_end = print_loaded\n{code}",
        encoding="utf-8",
    )

    done = subprocess.run(
        [sys.executable, "-P", script], capture_output=True, text=True, check=True
    )

    ours = {"jobsd", "jobsd.daemon", "jobsd.daemon.entry_point", "jobsd.daemon.interrupts"}
    assert set(done.stdout.split()) == ours | {"__future__"}


def test_an_interrupt_that_came_while_python_started_is_the_end(tmp_path: Path) -> None:
    write_project(tmp_path)
    python = tmp_path / ".venv/bin/python"
    python.parent.mkdir(parents=True)
    # What stands for Python here interrupts itself, before any line of Python has run.
    python.write_text(f'#!/bin/sh\nkill -INT $$\nexec {sys.executable} "$@"\n')
    for file in (python, tmp_path / ".venv/bin/jobsd"):
        file.touch()
        file.chmod(0o755)

    done = subprocess.run(
        [tmp_path / "bin/jobs", "version"], capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


@pytest.mark.parametrize("name", ["my shop", "s" * 200])
@pytest.mark.parametrize("called", ["script", "link", "module"])
def test_the_program_starts_in_an_environment_below_any_path(
    tmp_path: Path, name: str, called: str
) -> None:
    environment = tmp_path / name / ".venv"
    venv.create(environment, symlinks=True)
    (packages,) = environment.glob("lib/python*/site-packages")
    lines = [path for path in sys.path if path.endswith("site-packages")]
    (packages / "ours.pth").write_text("\n".join([*lines, str(ROOT / "src")]))
    script = environment / "bin/jobsd"
    shutil.copy(ROOT / "packaging/jobsd", script)
    link = tmp_path / "jobsd"
    link.symlink_to(script)
    words: dict[str, list[str | Path]] = {
        "script": [script],
        "link": [link],
        "module": [environment / "bin/python", "-m", "jobsd"],
    }

    done = subprocess.run(
        [*words[called], "version"], cwd="/", capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stderr) == (0, ""), done
    assert done.stdout.startswith("jobsd ")
