"""A real tree of processes under test: started as an operator would, watched from outside."""

from __future__ import annotations

import contextlib
import shutil
import signal
import subprocess
import sys
import threading
from typing import IO, TYPE_CHECKING

import psutil

from harness.event_log import EventLog
from waiting import Stopwatch, Took, wait_until

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

COMMAND = [sys.executable, "-P", "-m", "jobsd.daemon"]
# A test run that is killed must leave no tree behind.
_SETPRIV = shutil.which("setpriv")
ENDS_WITH_US = [_SETPRIV, "--pdeathsig", "KILL", "--"] if _SETPRIV else []


def lives(process: psutil.Process) -> bool:
    """Return whether a process has not ended; who waits to be reaped has."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def is_alive(pid: int) -> bool:
    """Return the same of a process that is known by its number."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return lives(psutil.Process(pid))
    return False


class Tree(EventLog):
    """A running supervisor with its children, and what it has logged.

    `command` may begin with another program that starts the tree: a shell, a namespace, a web
    server. `stderr` goes into the log unless it is to go elsewhere.
    """

    def __init__(
        self,
        command: Sequence[str],
        root: Path,
        environ: Mapping[str, str],
        *,
        stdin: int = subprocess.DEVNULL,
        stderr: int | IO[bytes] = subprocess.STDOUT,
    ) -> None:
        super().__init__()
        self.process = subprocess.Popen(
            [*ENDS_WITH_US, *command],
            cwd=root,
            env={**environ, "JOBSD_LOG_FORMAT": "json"},
            stdout=subprocess.PIPE,
            stderr=stderr,
            stdin=stdin,
            text=True,
            start_new_session=True,
        )
        self._seen: dict[int, psutil.Process] = {}
        self._is_read_out = False
        # A pipe that is not read fills up, and what writes to it is held up.
        self._reader = threading.Thread(target=self._read_pipe, daemon=True)
        self._reader.start()

    def _read_pipe(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))

    @property
    def is_complete(self) -> bool:
        """Whether the supervisor has ended."""
        return self.process.poll() is not None

    def read(self) -> None:
        """Let the reader come to the end of the log when the supervisor has ended."""
        if self.is_complete and not self._is_read_out:
            # Once: what a job has left running may hold the pipe open.
            self._is_read_out = True
            self._reader.join(5)

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

    def send(self, number: signal.Signals) -> None:
        """Send the supervisor a signal."""
        self.process.send_signal(number)

    def terminate(
        self, number: signal.Signals = signal.SIGTERM, within_s: float = 60.0
    ) -> Took:
        """Signal the supervisor and wait for its end; return what that took."""
        self.children()
        # Begun before: on a busy machine the tree is far on when a watch has been made.
        watch = Stopwatch()
        self.send(number)
        return self.wait_end(within_s, watch)

    def wait_end(self, within_s: float = 60.0, watch: Stopwatch | None = None) -> Took:
        """Wait for the end of the supervisor; return what it took since the watch began."""
        watch = watch or Stopwatch()
        wait_until(lambda: self.process.poll() is not None, within_s, self.reported)
        return watch.took()

    def assert_clean_exit(self) -> None:
        """See that the supervisor has ended with 0, and that nothing of the tree lives on."""
        assert self.process.returncode == 0, self.reported()
        assert self.alive() == [], self.reported()

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
