"""The file that lets one supervisor run for a project, and names its process id.

The lock is decisive, the number in the file is for people: it may be the id of a process long
gone, or another process may have it now. The lock is POSIX's (`lockf`): it belongs to the
process, so it is free after `kill -9`, and no child inherits it; a lock of `flock` would stay
with an orphan.

Invariant: no other code in this process may open the file, since closing any descriptor of it
releases the lock; and no one removes it, since two could then lock two files of one name.

The path may be mistyped, or lie in a folder that others can write. So no link is followed, and
a file that is not plainly a pidfile is neither written nor removed; a device is not even
opened, which can be enough to set it off.
"""

import contextlib
import fcntl
import os
import stat
from pathlib import Path

from jobsd.errors import ConfigurationError, Error, Fault


class PidfileHeld(Error):  # noqa: N818 - a state of things, not a mistake
    """Another supervisor runs. Exit status 75. `pid` is None if the file does not have it."""

    def __init__(self, path: Path, pid: int | None) -> None:
        self.path = path
        self.pid = pid
        who = f"another supervisor (pid {pid})" if pid else "another supervisor"
        super().__init__(f"{who} holds {path}")


_NAMES = {
    stat.S_IFLNK: "a link",
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
_EXPECTED = (
    "name a file that does not exist yet, or one that a supervisor left behind: it belongs to"
    " root or to the user of this process, has no second hard link, and holds only a process id"
)
_CONTENT_BYTES_MAX = 32
_NO_NUMBER = b"\0 \t\r\n"  # a power failure can leave zeros of what was just written


def unusable(path: Path, why: str, hint: str = "", place: str = "") -> ConfigurationError:
    """Return the error for a path that can't be the pidfile; `place` is where it is set."""
    message = f"the pidfile {path} can't be used: {why}"
    return ConfigurationError((Fault(message, place, hint=hint),))


class Pidfile:
    """A locked pidfile; `fd` is the descriptor that no child may keep."""

    def __init__(self, path: Path, place: str = "") -> None:
        """Make the directories and the file if they are missing, and lock it.

        Errors name `place`, where the path is set.

        Raises:
            PidfileHeld: another process has the lock.
            ConfigurationError: the file is not a pidfile, or not one of ours.
            OSError: the file can't be made or opened.
        """
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self.fd = _lock(path, place)
        while not _is_at(path, self.fd):
            # Its last holder removed the file between our opening and our locking it.
            os.close(self.fd)
            self.fd = _lock(path, place)
        if fault := _fault(self.fd):
            os.close(self.fd)
            raise unusable(path, fault, _EXPECTED, place)
        self._write(b"%d\n" % os.getpid())

    def release(self) -> None:
        """Remove the file, unless another has its name by now, and release the lock."""
        with contextlib.suppress(OSError):
            if _is_at(self._path, self.fd):
                self._path.unlink()
        os.close(self.fd)

    def _write(self, content: bytes) -> None:
        # On a full disk we still start: the lock needs no room.
        with contextlib.suppress(OSError):
            os.ftruncate(self.fd, 0)
            os.pwrite(self.fd, content, 0)


def _lock(path: Path, place: str) -> int:
    _require_file(path, place)
    # If another file has replaced it meanwhile: a link is refused, a FIFO not waited for.
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    fd = os.open(path, flags, 0o644)
    try:
        fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        pid = _number(os.pread(fd, _CONTENT_BYTES_MAX, 0))
        os.close(fd)
        raise PidfileHeld(path, pid) from error
    return fd


def _require_file(path: Path, place: str) -> None:
    try:
        kind = stat.S_IFMT(path.lstat().st_mode)
    except FileNotFoundError:
        return
    if kind != stat.S_IFREG:
        raise unusable(path, f"it is {_NAMES.get(kind, 'not a file')}", _EXPECTED, place)


def _fault(fd: int) -> str:
    """Return how the locked file differs from a pidfile of ours, or ""."""
    found = os.fstat(fd)
    if not stat.S_ISREG(found.st_mode):
        return "it is not a regular file"
    if found.st_nlink > 1:
        return f"the file has {found.st_nlink} hard links"
    if found.st_uid not in {0, os.geteuid()}:
        return f"it belongs to the user with id {found.st_uid}"
    content = os.pread(fd, _CONTENT_BYTES_MAX + 1, 0)
    number = content.strip(_NO_NUMBER)
    if len(content) > _CONTENT_BYTES_MAX or not (number.isdigit() or not number):
        return f"it holds more than a process id ({found.st_size} bytes)"
    return ""


def _is_at(path: Path, fd: int) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), path.lstat())
    except OSError:
        return False


def _number(content: bytes) -> int | None:
    return int(content) if content.strip().isdigit() else None
