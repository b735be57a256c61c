"""A program that runs beside another: the tree, or the web server of `bin/jobs with`."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from jobsd import clock
from jobsd.daemon.statuses import DONE
from jobsd.supervisor.kernel import die_with_parent

_OF_SYSTEMD = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
_NOT_STARTED = 127
STOPS = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGQUIT})


class Exit(NamedTuple):
    """How a sibling has ended: with a status, or by a signal."""

    status: int
    signal: signal.Signals | None = None


@dataclass(eq=False, slots=True)
class Sibling:
    """One program and its process, if it has one. `kept` are descriptors that it inherits."""

    command: Sequence[str]
    environ: Mapping[str, str]
    kept: Sequence[int] = ()
    pid: int = 0
    began: float = 0.0
    sent: set[signal.Signals] = field(default_factory=set[signal.Signals])

    def start(self) -> None:
        """Fork and exec. The process gets TERM when the thread that calls this ends."""
        parent = os.getpid()
        self.began, self.sent = clock.monotonic(), set()
        self.pid = os.fork()
        if self.pid == 0:
            self._become(parent)

    def _become(self, parent: int) -> None:
        try:
            die_with_parent(signal.SIGTERM)
            if os.getppid() != parent:
                os._exit(DONE)
            for fd in self.kept:
                os.set_inheritable(fd, True)  # noqa: FBT003 - the library's
            environ = dict(self.environ)
            if environ.get("SYSTEMD_EXEC_PID") == str(parent):
                environ["SYSTEMD_EXEC_PID"] = str(os.getpid())
            signal.pthread_sigmask(signal.SIG_SETMASK, [])
            os.execvpe(self.command[0], list(self.command), environ)  # noqa: S606 - as was asked
        except OSError as error:
            os.write(2, f"error: {self.command[0]}: {error.strerror}\n".encode())
        finally:
            os._exit(_NOT_STARTED)

    def send(self, number: signal.Signals) -> None:
        """Send it a signal, if it runs."""
        if self.pid:
            self.sent.add(number)
            os.kill(self.pid, number)

    def catches(self, number: signal.Signals) -> bool:
        """Return whether the program runs and has a handler for this signal."""
        if not self.pid:
            return False
        status = Path(f"/proc/{self.pid}/status").read_text(encoding="ascii", errors="replace")
        masks = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        return bool(int(masks["SigCgt"], 16) >> (number - 1) & 1)

    def reaped(self, status: int) -> Exit:
        """Note its end, as `waitpid` gives it.

        The death by a signal that we have sent to stop it is an orderly end.
        """
        self.pid = 0
        code = os.waitstatus_to_exitcode(status)
        if code >= 0:
            return Exit(code)
        number = signal.Signals(-code)
        asked = number in self.sent & STOPS
        return Exit(DONE if asked else 128 - code, number)


def tree(
    arguments: Sequence[str], environ: Mapping[str, str], kept: Sequence[int] = ()
) -> Sibling:
    """Return the daemon as a sibling, `start` with these arguments."""
    command = [sys.executable, "-P", "-m", "jobsd.daemon", "start", *arguments]
    # The supervisor feeds the watchdog, and its process is not the one that systemd started.
    given = {name: value for name, value in environ.items() if name != "WATCHDOG_PID"}
    return Sibling(command, given, kept)


def web_server(command: Sequence[str], environ: Mapping[str, str]) -> Sibling:
    """Return a web server as a sibling; it does not notify systemd."""
    given = {name: value for name, value in environ.items() if name not in _OF_SYSTEMD}
    return Sibling(command, given)
