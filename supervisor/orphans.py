"""Processes below us that we never forked.

Whatever a job has started comes to us when its worker ends before it, and brings along
what it has started itself. At our own end we take all of them that live in our session;
who has made a session of its own (a server that is to stay) wants to live on. And who was
our child before we began belongs to the shell that became us.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

from jobsd.clock import monotonic

if TYPE_CHECKING:
    from collections.abc import Iterator

END_S = 0.05
"""How long we go on killing what is started while we do."""


class Orphans:
    """The orphan processes that we were given since this object was made."""

    def __init__(self) -> None:
        self._earlier = frozenset(_children(os.getpid()))

    def terminate(self, known: frozenset[int]) -> None:
        """Tell them to end, but for those that are `known` as ours."""
        self._send(signal.SIGTERM, known)

    def end(self) -> None:
        """Kill all of them, and what they have started meanwhile."""
        until = monotonic() + END_S
        while self._send(signal.SIGKILL, frozenset()) and monotonic() < until:
            time.sleep(0.001)
            _reap()

    def _send(self, number: signal.Signals, known: frozenset[int]) -> int:
        sent = 0
        for pid in _below(os.getpid(), self._earlier | known):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                if os.getsid(pid) == os.getsid(0):
                    os.kill(pid, number)
                    sent += 1
        return sent


def _below(pid: int, but: frozenset[int]) -> Iterator[int]:
    """Yield all descendants, but for some and theirs."""
    for child in _children(pid):
        if child not in but:
            # Its own children are looked for first: killed, it has none any more.
            yield from _below(child, but)
            yield child


def _children(pid: int) -> list[int]:
    """Return the children of all threads of a process; none where the kernel does not tell.

    Where /proc belongs to another namespace of process ids, its numbers are not ours.
    """
    try:
        if Path("/proc/self").readlink() != Path(str(os.getpid())):
            return []
        threads = list(Path(f"/proc/{pid}/task").iterdir())
    except OSError:
        return []
    found: list[int] = []
    for thread in threads:
        with contextlib.suppress(OSError):
            text = (thread / "children").read_text(encoding="ascii")
            found += map(int, text.split())
    return found


def _reap() -> None:
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            continue
