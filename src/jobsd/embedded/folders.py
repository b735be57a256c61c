"""Folders and files beside the cluster, with the modes that they need under any umask.

Under root two users need them: root makes them, and the server's user must pass through some
and own others. Root follows no link in a folder of another user, and none of its files lie
where users other than the server's could replace them (`trusted_path`).
"""

import contextlib
import os
from collections.abc import Generator
from pathlib import Path

from jobsd.errors import EmbeddedServerError

from . import trusted_path
from .account import Account


def make_directory(path: Path, *users: int, project: Path | None = None) -> None:
    """Make the folder and its missing parents.

    For root's server all are passable, whatever the umask; otherwise the folder is private. For
    `project` see `trusted_path`.

    Raises:
        EmbeddedServerError: when users other than root, we and `users` could change it.
    """
    as_root = os.geteuid() == 0
    for step, is_last in trusted_path.require_trusted(path, users, project):
        if not os.path.lexists(step):
            _make(step, 0o755 if as_root else 0o700 if is_last else None)


def _make(folder: Path, mode: int | None) -> None:
    """Make a folder with this mode; without one, by the umask, but not writable for others."""
    with contextlib.suppress(FileExistsError):  # a concurrent starter may have made it
        folder.mkdir(mode or 0o775)
        if mode:
            with _opened(folder) as descriptor:
                os.fchmod(descriptor, mode)


def make_private(path: Path, account: Account) -> None:
    """Make a folder that only `account` (and root) can enter.

    Raises:
        EmbeddedServerError: when the name is taken by a link, a file or another owner.
    """
    made = False
    with contextlib.suppress(FileExistsError):
        path.mkdir(mode=0o700)
        made = True
    try:
        with _opened(path) as descriptor:
            if made and account.uid != os.geteuid():
                os.fchown(descriptor, account.uid, account.gid)
            if os.fstat(descriptor).st_uid != account.uid:
                raise _taken(path, account)
            os.fchmod(descriptor, 0o700)
    except OSError as error:
        raise _taken(path, account) from error


def chown(path: Path, account: Account) -> None:
    """Make the server's user the owner of a folder of ours, and of no replacement of it."""
    with _opened(path) as descriptor:
        os.fchown(descriptor, account.uid, account.gid)


def open_lock(path: Path) -> int:
    """Open a lock file, made when missing, for its folder's owner and root alone.

    Raises:
        EmbeddedServerError: when it has a second name. A server inherits its lock: the name
            may lead its user into a file of root's.
    """
    flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        descriptor = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        descriptor = os.open(path, flags)
        if os.fstat(descriptor).st_nlink > 1:
            os.close(descriptor)
            raise EmbeddedServerError(
                "the lock has two names", path, "a file of its own"
            ) from None
        return descriptor
    _chown_to_owner_of(descriptor, path.parent)
    return descriptor


def open_log(path: Path) -> int:
    """Open a new, empty log file."""
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
    _chown_to_owner_of(descriptor, path.parent)
    return descriptor


def write(path: Path, text: str) -> None:
    """Write a file that the server's user may read, whole or not at all."""
    content = os.fsencode(text)
    if path.is_file() and path.read_bytes() == content:
        return
    fresh = path.with_name(f"{path.name}.new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        os.fchmod(descriptor, 0o644)
        _chown_to_owner_of(descriptor, path.parent)
    fresh.rename(path)


def sync(path: Path) -> None:
    """Make the renames in a folder durable, even through a power failure."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _opened(folder: Path) -> Generator[int]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _taken(path: Path, account: Account) -> EmbeddedServerError:
    expected = f"nothing there, or a folder of user {account.name}"
    return EmbeddedServerError(
        "something that jobsd did not create has this name", path, expected
    )


def _chown_to_owner_of(descriptor: int, folder: Path) -> None:
    """Make the owner of its folder the owner of a file that root made."""
    owner = folder.stat()
    if os.geteuid() == 0 and owner.st_uid != 0:
        os.fchown(descriptor, owner.st_uid, owner.st_gid)
