"""The pictures of a terminal in the README, each made of the output of real commands.

    PYTHONPATH=tests python -m docs.recordings

makes them again, in a folder of its own and on an embedded server.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import termios
import time
from pathlib import Path
from typing import TYPE_CHECKING

from .terminal_picture import COLUMNS, Shown, picture

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

FOLDER = Path(__file__).parents[2] / "docs/images"
TITLES = {
    "first-minute": "init writes a project, and the started daemon prints a heartbeat",
    "failed-job": "A failed job is found by its error, explained, and retried",
    "status-watch": "The status refreshes by itself while jobs run",
}
_ROWS = 40
_JOBS = """\
import time
from pathlib import Path

from jobsd import job


@job(queue="mail")
def welcome(user_id: int) -> None:
    if not Path("mail-server").exists():
        raise ConnectionError("the mail server does not answer")


@job
def resize(image_id: int) -> None:
    time.sleep(0.4)
"""
_PROMPT = "\x1b[32m$\x1b[0m \x1b[1m%s\x1b[0m"


class _Running:
    """A command on a terminal."""

    def __init__(self, process: subprocess.Popen[bytes], ours: int) -> None:
        self.process, self._ours, self._printed = process, ours, bytearray()

    def read(self) -> str:
        """Return all that it has printed so far."""
        with contextlib.suppress(OSError):
            while part := os.read(self._ours, 1 << 16):
                self._printed.extend(part)
        return self._printed.decode().replace("\r", "")


class Terminal:
    """A folder in which commands run on a terminal, as a person would type them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        kept = {key: value for key, value in os.environ.items() if key in {"PATH", "HOME"}}
        self._environ = {**kept, "TERM": "xterm-256color", "JOBSD_METRICS_BIND": "127.0.0.1:0"}

    @contextlib.contextmanager
    def running(self, *words: str) -> Generator[_Running]:
        """Run a command until the block ends."""
        ours, theirs = os.openpty()
        termios.tcsetwinsize(theirs, (_ROWS, COLUMNS))
        os.set_blocking(ours, False)
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "jobsd.daemon", *words],
            cwd=self.folder,
            env=self._environ,
            stdout=theirs,
            stderr=theirs,
            stdin=subprocess.DEVNULL,
        )
        try:
            yield _Running(process, ours)
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
            process.wait(30)
            os.close(theirs)
            os.close(ours)

    def run(self, *words: str) -> list[str]:
        """Run a command to its end; return its lines, with their colours."""
        with self.running(*words) as terminal:
            terminal.process.wait(60)
            return _tidy(terminal.read())

    def python(self, code: str) -> None:
        """Run a program of the project."""
        program = [sys.executable, "-c", code]
        subprocess.run(program, cwd=self.folder, env=self._environ, check=True)


def until(condition: Callable[[], object], seconds: float) -> None:
    """Wait for a condition."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError
        time.sleep(0.05)


def _tidy(printed: str) -> list[str]:
    return printed.rstrip("\n").split("\n")


class Session:
    """Lines that come one after the other, each command behind its prompt."""

    def __init__(self) -> None:
        self.shown: list[Shown] = []
        self._row, self._at_s = 0, 0.5

    def add(self, command: str, lines: list[str], after_s: float = 0.6) -> None:
        """Show a command, and its lines a moment later."""
        self._show([_PROMPT % command], after_s)
        self._show(lines, 2.2)
        self._row += 1

    def _show(self, lines: list[str], pause_s: float) -> None:
        self.shown.append(Shown(lines, self._row, self._at_s))
        self._row += len(lines)
        self._at_s += pause_s


def record(folder: Path) -> dict[str, str]:
    """Return the pictures by their names, from commands that run in this folder."""
    terminal = Terminal(folder)
    pictures: dict[str, list[Shown]] = {}
    first = Session()
    first.add("jobsd init", terminal.run("init"))
    (folder / "sample_jobs.py").write_text(_JOBS, encoding="utf-8")
    with terminal.running() as daemon:
        until(lambda: "Heartbeat job executed" in daemon.read(), 90)
        lines = _tidy(daemon.read())
        beat = next(n for n, line in enumerate(lines) if "[HEARTBEAT]" in line)
        first.add("bin/jobs", lines[: beat + 1])
        pictures["first-minute"] = first.shown
        pictures["failed-job"] = _failed_job(terminal)
        pictures["status-watch"] = _watched(terminal)
    return {name: picture(TITLES[name], shown) for name, shown in pictures.items()}


def _failed_job(terminal: Terminal) -> list[Shown]:
    session = Session()
    (line,) = terminal.run("enqueue", "sample_jobs.welcome", "[42]", "--json")
    job_id = str(json.loads(line)["id"])
    until(lambda: "failed" in "".join(terminal.run("list", "--state", "failed")), 30)
    session.add("bin/jobs failures", terminal.run("failures"))
    session.add(f"bin/jobs show {job_id}", terminal.run("show", job_id)[:12])
    (terminal.folder / "mail-server").touch()
    session.add("bin/jobs retry --all --yes", terminal.run("retry", "--all", "--yes"))
    until(lambda: not _waits(terminal), 30)
    session.add("bin/jobs list", terminal.run("list", "--limit", "2"))
    return session.shown


def _waits(terminal: Terminal) -> bool:
    return any("ready" in line or "claimed" in line for line in terminal.run("list"))


def _watched(terminal: Terminal) -> list[Shown]:
    terminal.python("from sample_jobs import resize; [resize.enqueue(n) for n in range(30)]")
    with terminal.running("status", "--watch", "0.7s") as watch:
        until(lambda: watch.read().count("\x1b[H") > 4, 30)
        screens = [
            _tidy(re.sub(r"\x1b\[[KJ]", "", each)) for each in watch.read().split("\x1b[H")
        ]
    frames = [lines for lines in screens if len(lines) > 2][:5]
    last = len(frames) - 1
    shown = [Shown([_PROMPT % "bin/jobs status --watch"], 0, 0.3)]
    for number, lines in enumerate(frames):
        until_s = None if number == last else 1.2 * (number + 2)
        shown.append(Shown(lines, 1, 1.2 * (number + 1), until_s))
    return shown


def main() -> None:
    """Write the pictures."""
    with tempfile.TemporaryDirectory() as above:
        folder = Path(above) / "shop"
        folder.mkdir()
        for name, text in record(folder).items():
            (FOLDER / f"{name}.svg").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
