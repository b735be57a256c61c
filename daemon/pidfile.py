"""The file that lets one supervisor run for a project, and names its process id.

The lock is the truth, the number in the file is for people: it may be of a process long
gone, whose id another has now. The lock is POSIX's (`lockf`): it belongs to the process,
so it is free after `kill -9`, and no child inherits it; one of `flock` would stay with
an orphan.

Invariant: nobody else in this process may open the file, since closing any descriptor of
it gives the lock back; and nobody removes it, since two could then lock two files of one
name.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from typing import TYPE_CHECKING

from jobsd.errors import Error

if TYPE_CHECKING:
    from pathlib import Path


class PidfileHeld(Error):  # noqa: N818 - a state of things, not a mistake
    """Another supervisor runs. Exit status 75. `pid` is None when the file does not say."""

    def __init__(self, path: Path, pid: int | None) -> None:
        self.path = path
        self.pid = pid
        who = f"process {pid}" if pid else "another process"
        super().__init__(f"{who} is running already: it holds {path}")


class Pidfile:
    """A locked pidfile; `fd` is the descriptor that no child may keep."""

    def __init__(self, path: Path) -> None:
        """Make the directories and the file where they are missing, and lock it.

        Raises:
            PidfileHeld: someone else has the lock.
            OSError: the file can't be made or opened.
        """
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self.fd = _lock(path)
        while not _is_at(path, self.fd):
            # Its last holder removed the file between our opening and our locking it.
            os.close(self.fd)
            self.fd = _lock(path)
        self._write(b"%d\n" % os.getpid())

    def release(self) -> None:
        """Remove the file and give the lock back."""
        with contextlib.suppress(OSError):
            self._path.unlink()
        os.close(self.fd)

    def _write(self, content: bytes) -> None:
        # On a full disk we start all the same: the lock needs no room.
        with contextlib.suppress(OSError):
            os.ftruncate(self.fd, 0)
            os.pwrite(self.fd, content, 0)


def _lock(path: Path) -> int:
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        pid = _number(os.pread(fd, 32, 0))
        os.close(fd)
        raise PidfileHeld(path, pid) from error
    return fd


def _is_at(path: Path, fd: int) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), path.stat())
    except OSError:
        return False


def _number(content: bytes) -> int | None:
    return int(content) if content.strip().isdigit() else None
