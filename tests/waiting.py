"""Waits and bounds that are about us: what the machine keeps us waiting is taken off.

"Within a second" is promised for a machine that has a processor and a disk for us. Linux
tells of each thread how long it could have run and had no processor: of those counts what
is ours, this process, all below it, and the servers that the tests have started. What
strangers wait for excuses nobody. Of disk and memory it tells only for the machine as a
whole: that is taken off up to half. Where it tells nothing, a bound is what it says.
"""

from __future__ import annotations

import contextlib
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from jobsd.clock import monotonic
from kept import folders

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator

_STALLED_MAX = 0.8
"""The part of a time that may be taken off: a wait must end on the busiest machine."""
_OF_DISK_MAX = 0.5
"""The part for disk and memory, since others may have waited for them, and not we."""


class Took(float):
    """Seconds that something took; below a bound if it had been without the stalls."""

    least: float

    def __new__(cls, seconds: float, stalled_s: float = 0.0) -> Self:
        """Take off what the machine has stalled meanwhile, to get the least it took."""
        took = super().__new__(cls, seconds)
        took.least = seconds - min(stalled_s, seconds * _STALLED_MAX)
        return took

    def __lt__(self, bound: float, /) -> bool:
        """Return whether it was quicker, as far as that was up to us."""
        return self.least < bound


class Stopwatch:
    """Measures from when it is made."""

    def __init__(self) -> None:
        self._waits_ns, self._disk_s = dict(_waits_ns()), _disk_s()
        self._began = monotonic()

    def took(self) -> Took:
        """Return how long it is ago."""
        return self.of(monotonic() - self._began)

    def of(self, seconds: float) -> Took:
        """Return a time within ours that somebody else has measured."""
        # Threads that have ended meanwhile are not asked any more: less is taken off.
        waited_ns = sum(ns - self._waits_ns.get(thread, 0) for thread, ns in _waits_ns())
        disk_s = min(_disk_s() - self._disk_s, seconds * _OF_DISK_MAX)
        return Took(seconds, waited_ns / 1e9 + disk_s)

    def until_end(self, child: subprocess.Popen[Any]) -> Took:
        """Wait for the end of a child that was started meanwhile; return how long it is ago."""
        # Once it is reaped, nobody can say how long it waited for a processor.
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        waited_s = int(Path(f"/proc/{child.pid}/schedstat").read_text().split()[1]) / 1e9
        took = self.took()
        child.wait()
        return Took(took, took - took.least + waited_s)

    def over(self, bound_s: float) -> bool:
        """Return whether it is longer ago; cheap before that."""
        return monotonic() - self._began > bound_s and not self.took() < bound_s


def wait_until(
    condition: Callable[[], Any],
    within_s: float = 40.0,
    what: str | Callable[[], object] = "",
    between: Callable[[], object] | None = None,
) -> Any:
    """Return the first true value of the condition; fail when there is none in time.

    `what` says then what was waited for, or what has happened instead. `between` is called
    between two looks, in place of a short sleep.
    """
    watch, pause = Stopwatch(), threading.Event()
    while not (value := condition()):
        if watch.over(within_s):
            reported = what() if callable(what) else what
            raise AssertionError(f"not within {within_s} s: {reported or condition}")
        if between is None:
            pause.wait(0.01)
        else:
            between()
    return value


def let_pass(seconds: float) -> None:
    """Let so much time pass, where its passing is what is to be survived."""
    threading.Event().wait(seconds)


def _waits_ns() -> Iterator[tuple[tuple[int, str], int]]:
    """Yield each thread of ours and for how long it has waited for a processor.

    A thread is told from another one of its number by when it began.
    """
    for pid in ours():
        with contextlib.suppress(OSError, ValueError, IndexError):
            for thread in Path(f"/proc/{pid}/task").iterdir():
                waited = (thread / "schedstat").read_text(encoding="ascii").split()[1]
                yield (int(thread.name), _stat(thread)[19]), int(waited)


def ours() -> set[int]:
    """Return this process, all below it, and the servers in the folders of this run.

    A server that was started for this run, and not by it, is named in JOBSD_TEST_SERVER_PID.
    """
    parents: dict[int, int] = {}
    places = [str(folder) for folder in folders()]
    found = {os.getpid(), int(os.environ.get("JOBSD_TEST_SERVER_PID", os.getpid()))}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError, ValueError, IndexError):
            parents[int(entry.name)] = int(_stat(entry)[1])
            if places and str((entry / "cwd").readlink()).startswith(tuple(places)):
                found.add(int(entry.name))
    grown = True
    while grown:
        below = {pid for pid, parent in parents.items() if parent in found} - found
        found |= below
        grown = bool(below)
    return found


def _stat(entry: Path) -> list[str]:
    """Return what the kernel says of a process or thread, from its state on."""
    # The name in parentheses may hold anything.
    text = (entry / "stat").read_text(encoding="ascii", errors="replace")
    return text.rpartition(")")[2].split()


def _disk_s() -> float:
    """Return for how long, since the machine started, somebody waited for disk or memory."""
    return sum(map(_some_us, ("io", "memory"))) / 1e6


def _some_us(resource: str) -> int:
    with contextlib.suppress(OSError, ValueError):
        some = Path(f"/proc/pressure/{resource}").read_text(encoding="ascii")
        return int(some.partition("total=")[2].split()[0])
    return 0
