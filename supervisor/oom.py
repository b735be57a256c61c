"""OOM kills: whether the kernel has killed a process because memory was short.

The wait status does not show it: it is a SIGKILL like any other. But the kernel counts its OOM
kills, for our control group or at least for the machine. A kill that was counted since the last
iteration explains a SIGKILL that is not ours.
"""

import contextlib
import os
import re
from pathlib import Path

from jobsd.clock import monotonic

_COUNT = re.compile(rb"^oom_kill (\d+)$", re.MULTILINE)
_MOUNT = "/sys/fs/cgroup"
_DYING_S = 3.0
"""How long a counted process may take to exit: it has much memory to free."""


class OomKills:
    """The kernel's count of its OOM kills."""

    def __init__(self, files: tuple[Path, ...] | None = None) -> None:
        self.fd = _open(_counters() if files is None else files)
        self._seen = self._read()
        self._unexplained = 0
        self._until = 0.0

    @property
    def descriptors(self) -> tuple[int, ...]:
        """The descriptors that no child may hold."""
        return () if self.fd is None else (self.fd,)

    def count(self) -> None:
        """Count new kills. Called in each iteration: an old kill explains no exit."""
        kills = self._read()
        if kills > self._seen:
            self._unexplained += kills - self._seen
            self._until = monotonic() + _DYING_S
        elif monotonic() > self._until:
            self._unexplained = 0
        self._seen = kills

    def explain(self) -> bool:
        """Return whether a SIGKILL is an OOM kill; each counted kill explains one."""
        self.count()
        if not self._unexplained:
            return False
        self._unexplained -= 1
        return True

    def _read(self) -> int:
        if self.fd is None:
            return 0
        with contextlib.suppress(OSError):
            if found := _COUNT.search(os.pread(self.fd, 65536, 0)):
                return int(found[1])
        return 0


def _open(files: tuple[Path, ...]) -> int | None:
    for file in files:
        with contextlib.suppress(OSError):
            fd = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
            if _COUNT.search(os.pread(fd, 65536, 0)):
                return fd
            os.close(fd)
    return None


def _counters() -> tuple[Path, ...]:
    """Return the files with the counter: our cgroup's (version 2, version 1), the machine's."""
    try:
        lines = Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    files: list[Path] = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            files.insert(0, Path(f"{_MOUNT}{path}/memory.events"))
        elif "memory" in controllers.split(","):
            files.append(Path(f"{_MOUNT}/memory{path}/memory.oom_control"))
    return (*files, Path("/proc/vmstat"))
