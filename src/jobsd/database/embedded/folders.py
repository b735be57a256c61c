"""Folders and files beside the cluster, with the modes that they need under any umask.

As root these lie between two users: root makes them, and the server's user must pass
through some and own others. Root never writes into a folder of the server's user, and
follows no link in one of somebody else's.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from jobsd.errors import EmbeddedServerError

if TYPE_CHECKING:
    from pathlib import Path

    from jobsd.database.embedded.account import Account


def make_directory(path: Path) -> None:
    """Make the folder and its parents where they are missing.

    For root's server all are passable, whatever the umask; else the folder is private.
    """
    as_root = os.geteuid() == 0
    missing = [step for step in (path, *path.parents) if not step.exists()]
    for step in reversed(missing):
        step.mkdir(exist_ok=True)  # a concurrent starter may be quicker
        if as_root or step == path:
            step.chmod(0o755 if as_root else 0o700)


def make_private(path: Path, account: Account) -> None:
    """Make the folder one that only `account` (and root) can enter.

    Raises:
        EmbeddedServerError: when the name is taken by a link, a file or another owner.
    """
    made = False
    with contextlib.suppress(FileExistsError):
        path.mkdir(mode=0o700)
        made = True
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError as error:
        raise _not_ours(path, account) from error
    try:
        if made and account.uid != os.geteuid():
            os.fchown(descriptor, account.uid, account.gid)
        if os.fstat(descriptor).st_uid != account.uid:
            raise _not_ours(path, account)
        os.fchmod(descriptor, 0o700)
    finally:
        os.close(descriptor)


def open_lock(path: Path) -> int:
    """Open a lock file, made when missing, for its folder's owner and root alone."""
    flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        descriptor = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return os.open(path, flags)
    _give_to_owner(descriptor, path.parent)
    return descriptor


def open_log(path: Path) -> int:
    """Open a log file anew, empty."""
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
    _give_to_owner(descriptor, path.parent)
    return descriptor


def write(path: Path, text: str) -> None:
    """Write a file that the server's user may read, whole or not at all."""
    content = os.fsencode(text)
    if path.exists() and path.read_bytes() == content:
        return
    fresh = path.with_name(f"{path.name}.new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        os.fchmod(descriptor, 0o644)
        _give_to_owner(descriptor, path.parent)
    fresh.rename(path)


def sync(path: Path) -> None:
    """Make what was renamed in a folder last through a power failure."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _not_ours(path: Path, account: Account) -> EmbeddedServerError:
    expected = f"nothing there, or a folder of user {account.name}"
    return EmbeddedServerError("the name is taken by what is not ours", path, expected)


def _give_to_owner(descriptor: int, folder: Path) -> None:
    """Let a file that root made belong to its folder's owner, who has to open it too."""
    owner = folder.stat()
    if os.geteuid() == 0 and owner.st_uid != 0:
        os.fchown(descriptor, owner.st_uid, owner.st_gid)
