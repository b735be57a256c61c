"""Orphan processes: descendants of the supervisor that it never forked.

A process that a job has started becomes our child when its worker exits before it, and its own
children come with it. At our own end we kill all of them that are in our session; a process
that has made a session of its own (a server that is to stay) is left alone. Children that we
had before we began belong to the shell that has become us by exec.
"""

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from jobsd.clock import monotonic

END_S = 0.05
"""How long we go on killing processes that are started meanwhile."""


class Orphans:
    """The orphan processes that have become our children since this object was made."""

    def __init__(self) -> None:
        self._earlier = frozenset(_children(os.getpid()))

    def terminate(self, known: frozenset[int]) -> None:
        """Send TERM to all except our own `known` children."""
        self._send(signal.SIGTERM, known)

    def end(self) -> None:
        """Kill all of them, and the processes that they have started meanwhile."""
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
    """Yield all descendants, except the given ones and their own."""
    for child in _children(pid):
        if child not in but:
            # Its own children are found first: once it is killed, it has none.
            yield from _below(child, but)
            yield child


def _children(pid: int) -> list[int]:
    """Return the children of all threads of a process; none if the kernel hides them.

    If /proc belongs to another namespace of process ids, its numbers are not ours.
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
