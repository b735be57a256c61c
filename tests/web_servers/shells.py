"""Two small programs in the places of the tree and of the web server, run by `Siblings`."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Self

from harness.tree import Tree
from waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path

_RUN = """
import sys
from jobsd.logs import logs
from jobsd.daemon.web_companion.sibling import Sibling
from jobsd.daemon.web_companion import siblings
import os
logs.configure("json", "debug", kind="with", name="with-1")
tree, web = (Sibling([sys.executable, "-c", text], os.environ) for text in sys.argv[1:])
siblings.GRACE_S = siblings._WEB_GRACE_S = float(os.environ["GRACE_S"])
sys.exit(siblings.Siblings(tree, web, drain_s=1).run())
"""

NOTES = """
import os, signal, sys, time
def note(word):
    with open(os.environ["NOTES"], "a") as file: file.write(word + "\\n")
def on(name, *numbers):
    for number in numbers:
        signal.signal(number, lambda n, _: note(f"{name} {signal.Signals(n).name}"))
def ends(name, status=0):
    def end(n, _):
        note(f"{name} {signal.Signals(n).name}")
        sys.exit(status)
    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    signal.signal(signal.SIGQUIT, end)
def wait():
    while True: signal.pause()
S = signal
"""
TREE = """
on("tree", S.SIGHUP, S.SIGUSR1, S.SIGUSR2, S.SIGTTIN, S.SIGTTOU)
ends("tree")
note("tree up")
wait()
"""
WEB = """
ends("web")
note("web up")
wait()
"""


class Shell(Tree):
    """The parent of the two, what it has logged, and what they have noted."""

    def __init__(
        self,
        folder: Path,
        tree: str = TREE,
        web: str = WEB,
        *,
        stdin: int = subprocess.DEVNULL,
        prelude: str = "",
        grace_s: float = 10,
    ) -> None:
        self._notes = folder / "notes"
        self._notes.touch()
        super().__init__(
            [sys.executable, "-c", prelude + _RUN, NOTES + tree, NOTES + web],
            folder,
            {**os.environ, "NOTES": str(self._notes), "GRACE_S": str(grace_s)},
            stdin=stdin,
        )

    def __enter__(self) -> Self:
        """Use it for a block, at whose end all of it is killed."""
        return self

    def __exit__(self, *_: object) -> None:
        """Kill what is left: all of it is in one process group."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.end()

    @property
    def notes(self) -> list[str]:
        """What the two have noted so far."""
        return self._notes.read_text().splitlines()

    def wait_notes(self, *notes: str) -> None:
        """Wait until both have noted this."""
        wait_until(
            lambda: set(notes) <= set(self.notes),
            what=lambda: f"{notes}: {self.notes}\n{self.reported()}",
        )

    def wait(self) -> int:
        """Wait for the end; return the exit status."""
        self.wait_end()
        return int(self.process.returncode)
