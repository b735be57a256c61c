"""Processes that are our children though we never forked them.

Whatever a job has started comes to us when its worker ends before it. At our own end we
take along what lives in our session; who has made a session of its own (a server that is
to stay) wants to live on. And who was our child before we began belongs to the shell
that became us.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import signal


class Strangers:
    """The orphans that have come to this process since the object was made."""

    def __init__(self) -> None:
        self._earlier = _children()

    def send(self, number: signal.Signals, known: frozenset[int] = frozenset()) -> None:
        """Send a signal to those in our session that are not `known` as ours."""
        for pid in _children() - self._earlier - known:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                if os.getsid(pid) == os.getsid(0):
                    os.kill(pid, number)


def _children() -> set[int]:
    """Return the process ids of our children; nothing where the kernel does not tell.

    Where /proc belongs to another namespace of process ids, its numbers are not ours.
    """
    pid = os.getpid()
    try:
        if Path("/proc/self").readlink() != Path(str(pid)):
            return set()
        return set(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))
    except OSError:
        return set()
