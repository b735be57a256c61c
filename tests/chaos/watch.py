"""Sees from outside which processes there were, of which tree, and until when they lived.

What a job did not end can only have run as long as its process lived. The last moment at
which that was seen is a lower bound, so a limit is never called broken that was not.
"""

from __future__ import annotations

import contextlib
import threading
from dataclasses import dataclass, field
from pathlib import Path

from jobsd.clock import monotonic

POLL_S = 0.015


@dataclass(slots=True)
class Sighting:
    """One process; times are monotonic."""

    tree: str
    """The place and the generation of its supervisor, as a3."""
    started: str
    since: float
    until: float
    ended: bool = False


@dataclass(frozen=True, slots=True)
class Asked:
    """Something was done to a process (or, with pid 0, to a whole tree) by which it may end."""

    at: float
    tree: str
    pid: int
    what: str
    until: float = 0.0


@dataclass(slots=True)
class Watch:
    """The processes of all trees, looked at again and again by a thread."""

    sightings: dict[int, Sighting] = field(default_factory=dict[int, Sighting])
    asked: list[Asked] = field(default_factory=list[Asked])
    _supervisors: dict[int, str] = field(default_factory=dict[int, str])
    _over: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to look."""
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Look no more."""
        self._over.set()
        if self._thread is not None:
            self._thread.join(5)

    def add(self, tree: str, supervisor: int) -> None:
        """Look at another tree, too."""
        self._supervisors[supervisor] = tree

    def note(self, tree: str, pid: int, what: str, until: float = 0.0) -> None:
        """Take down what is being done, before it is done."""
        self.asked.append(Asked(monotonic(), tree, pid, what, until))

    def living(self, tree: str) -> list[int]:
        """Return the living processes of a tree, whoever is their parent now."""
        return [
            pid
            for pid, seen in list(self.sightings.items())
            if seen.tree == tree and not seen.ended
        ]

    def _run(self) -> None:
        while not self._over.wait(POLL_S):
            self.check()

    def check(self) -> None:
        """Look at everything once."""
        for supervisor, tree in list(self._supervisors.items()):
            pids = children(supervisor)
            for pid in (supervisor, *pids):
                self._see(pid, tree)
        for pid, seen in list(self.sightings.items()):
            if not seen.ended:
                now = monotonic()
                if started(pid) == seen.started:
                    seen.until = now
                else:
                    seen.ended = True

    def _see(self, pid: int, tree: str) -> None:
        known = self.sightings.get(pid)
        if (known is None or known.ended) and (ticks := started(pid)):
            now = monotonic()
            self.sightings[pid] = Sighting(tree, ticks, now, now)


def children(pid: int) -> list[int]:
    """Return the children of a process."""
    with contextlib.suppress(OSError):
        return [int(x) for x in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def title(pid: int) -> str:
    """Return what a process calls itself."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    return ""


def started(pid: int) -> str:
    """Return the start time of a process, nothing when it is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
    fields = stat.rpartition(")")[2].split()
    return "" if fields[0] in {"Z", "X"} else fields[19]
