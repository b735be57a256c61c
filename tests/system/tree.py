"""A real tree of processes under test: started as an operator would, watched from outside."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import psutil

from waiting import Stopwatch, Took

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence
    from pathlib import Path

COMMAND = [sys.executable, "-P", "-m", "jobsd.daemon"]
# A test run that is killed must leave no tree behind.
_SETPRIV = shutil.which("setpriv")
ENDS_WITH_US = [_SETPRIV, "--pdeathsig", "KILL", "--"] if _SETPRIV else []


def wait_for(
    condition: Callable[[], Any], within_s: float = 40.0, what: str | Callable[[], str] = ""
) -> Any:
    """Return the first true value of the condition; fail when there is none in time.

    `what` tells then what was waited for, or what has happened instead.
    """
    watch, pause = Stopwatch(), threading.Event()
    while not (value := condition()):
        if watch.over(within_s):
            reported = what() if callable(what) else what
            raise AssertionError(f"not within {within_s} s: {reported or condition}")
        pause.wait(0.02)
    return value


def lives(process: psutil.Process) -> bool:
    """Return whether a process has not ended; who waits to be reaped has."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


class Project:
    """A folder with a configuration and modules, and the commands run in it."""

    def __init__(self, root: Path, database_url: str, **environ: str) -> None:
        self.root = root
        self.environ = {
            **{key: value for key, value in os.environ.items() if not key.startswith("JOBSD")},
            "DATABASE_URL": database_url,
            "JOBSD_HOME": str(root),
            "JOBSD_METRICS_BIND": "off",
            "PYTHONPATH": "",
            **environ,
        }

    def write(self, name: str, text: str) -> Path:
        """Write a file of the project."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def run(self, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        """Run one command to its end."""
        return subprocess.run(
            [*COMMAND, *arguments],
            cwd=self.root,
            env={**self.environ, **environ},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            stdin=subprocess.DEVNULL,
        )

    def python(self, program: str, *arguments: str) -> str:
        """Run a program of the project's own to its end; return what it prints."""
        done = subprocess.run(
            [sys.executable, "-c", program, *arguments],
            cwd=self.root,
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    @contextlib.contextmanager
    def start(self, *arguments: str, **environ: str) -> Generator[Tree]:
        """Start the tree; whatever is left of it at the end of the block is killed."""
        tree = Tree([*COMMAND, "start", *arguments], self.root, {**self.environ, **environ})
        try:
            yield tree
        finally:
            tree.end()


class Tree:
    """A running supervisor with its children, and what it has logged."""

    def __init__(self, command: Sequence[str], root: Path, environ: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            [*ENDS_WITH_US, *command],
            cwd=root,
            env={**environ, "JOBSD_LOG_FORMAT": "json"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        self.lines: list[str] = []
        self._seen: dict[int, psutil.Process] = {}
        self._heard_out = False
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))

    def events(self, name: str = "") -> list[dict[str, Any]]:
        """Return what was logged so far, or only the events of one name."""
        if self.process.poll() is not None and not self._heard_out:
            self._heard_out = True
            self._reader.join(2)
        found: list[dict[str, Any]] = []
        for line in list(self.lines):
            with contextlib.suppress(ValueError):
                found.append(json.loads(line))
        return [event for event in found if not name or event.get("event") == name]

    def wait_event(self, name: str, count: int = 1, within_s: float = 40.0) -> dict[str, Any]:
        """Wait until an event was logged `count` times; return the last of them."""

        def happened() -> list[dict[str, Any]]:
            assert self.process.poll() is None or len(self.events(name)) >= count, (
                self.reported()
            )
            found = self.events(name)
            return found if len(found) >= count else []

        found: list[dict[str, Any]] = wait_for(
            happened, within_s, lambda: f"{name}\n{self.reported()}"
        )
        return found[-1]

    def reported(self) -> str:
        """Return the last lines that were logged."""
        return "\n".join(self.lines[-30:])

    def children(self, kind: str = "") -> list[psutil.Process]:
        """Return the living children, or those of one kind, by their titles."""
        found: list[psutil.Process] = []
        with contextlib.suppress(psutil.NoSuchProcess):
            for child in psutil.Process(self.process.pid).children(recursive=True):
                self._seen[child.pid] = child
                with contextlib.suppress(psutil.NoSuchProcess):
                    if f"jobsd {kind}" in " ".join(child.cmdline()):
                        found.append(child)
        return found

    def alive(self) -> list[psutil.Process]:
        """Return everything that was ever seen of the tree and still lives."""
        self.children()
        return [child for child in self._seen.values() if lives(child)]

    def terminate(
        self, number: signal.Signals = signal.SIGTERM, within_s: float = 60.0
    ) -> Took:
        """Signal the supervisor and wait for its end; return what that took."""
        self.children()
        watch = Stopwatch()
        self.process.send_signal(number)
        self.process.wait(within_s)
        return watch.took()

    def pss_kib(self) -> dict[str, int]:
        """Return the proportional set size of each process of the tree."""
        processes = [psutil.Process(self.process.pid), *self.children()]
        return {
            f"{' '.join(process.cmdline())} [{process.pid}]": process.memory_full_info().pss
            // 1024
            for process in processes
        }

    def end(self) -> None:
        """Kill what is left; only processes that we have started."""
        left = self.alive()
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)
        for child in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
        self._reader.join(5)
        if self.process.stdout is not None:
            self.process.stdout.close()
