"""Checks that only trusted users can change the files at a path, as sshd checks for its files.

A user who can write to a folder, or to one above it, can replace the configuration of the
server, and with it run any program as the server's user. So every folder from / on must belong
to root, to us, or to that user, and no other user may write to it. Two exceptions:

- a sticky folder, as /tmp, may hold files of ours: no other user can rename or remove them;
- an ordinary user's folder may be open to the user's groups: they are private ones (a umask of
  002 relies on it), or those of people who share a project, and so its code. Root, who is a
  member of much by default, shares with group 0 alone.

An ordinary user's project, and the folders above it, are not checked: a user who can write
there can change the code that is run anyway.

The owner of / counts as root, whatever its number: in a user namespace without root's number,
all files of root seem to belong to one user.
"""

import errno
import grp
import os
import pwd
import stat
from collections.abc import Iterator
from pathlib import Path

from jobsd.errors import EmbeddedServerError

_LINKS_MAX = 40  # as the kernel's


def walk(path: Path) -> Iterator[tuple[Path, bool]]:
    """Yield each folder and link that the kernel passes on its way to `path`, from / on.

    With each, whether it is the last. Lazily: the caller makes a missing one before the next is
    read.
    """
    at = Path("/")
    ahead = [*reversed(path.parts)]
    links = 0
    while ahead:
        part = ahead.pop()
        step = at.parent if part == ".." else at / part
        yield step, not ahead
        if not step.is_symlink():
            at = step
            continue
        links += 1
        if links > _LINKS_MAX:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
        ahead += reversed(step.readlink().parts)


def require_trusted(
    path: Path, users: tuple[int, ...], project: Path | None = None
) -> Iterator[tuple[Path, bool]]:
    """Yield the steps of the way to `path` as `walk` does; check each once it was yielded.

    Trusted are root, we, and `users`. No link is followed out of a folder that is open to all,
    and the last step is no link. `project` is a folder whose code we run.

    Raises:
        EmbeddedServerError: naming the folder, its owner, and the expected one.
    """
    trusted = {0, Path("/").stat().st_uid, os.geteuid(), *users}
    groups = {0, *(() if os.geteuid() == 0 else (os.getegid(), *os.getgroups()))}
    open_to_all = False
    for step, is_last in walk(path):
        yield step, is_last
        if project is not None and os.geteuid() != 0 and project.is_relative_to(step):
            continue
        found = step.lstat()
        is_link = stat.S_ISLNK(found.st_mode)
        is_open = not is_link and _is_open(found, groups)
        if (
            found.st_uid not in trusted
            or (is_link and (is_last or open_to_all))
            or (is_open and (is_last or not found.st_mode & stat.S_ISVTX))
            or not (is_link or stat.S_ISDIR(found.st_mode))
        ):
            raise _refusal(path, step, found, trusted)
        open_to_all = is_open


def _is_open(found: os.stat_result, groups: set[int]) -> bool:
    """Return whether untrusted users may write there."""
    by_group = found.st_mode & stat.S_IWGRP and found.st_gid not in groups
    return bool(by_group or found.st_mode & stat.S_IWOTH)


def _refusal(
    path: Path, step: Path, found: os.stat_result, trusted: set[int]
) -> EmbeddedServerError:
    mode = found.st_mode
    kind = "link" if stat.S_ISLNK(mode) else "folder" if stat.S_ISDIR(mode) else "file"
    owner = f"{_user(found.st_uid)}:{_group(found.st_gid)}"
    return EmbeddedServerError(
        f"others could change what the server runs: {step} is a {kind} of {owner}"
        f" with mode {stat.S_IMODE(mode):04o}",
        path,
        "a place by JOBSD_EMBEDDED_DIR that is no link, below folders of"
        f" {' or '.join(map(_user, sorted(trusted)))} alone, to which no other may write"
        " (but to sticky ones, as /tmp)",
    )


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _group(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)
