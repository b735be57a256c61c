"""The user that the server runs as: PostgreSQL refuses to run as root."""

import os
import pwd
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from jobsd import errors

from .location import Location

# The server gets only these variables: PGPORT, PGDATA and others would change it, and every
# role that may run code in it could read our passwords.
_PASSED_ON = ("PATH", "LD_LIBRARY_PATH")


class Identity(TypedDict, total=False):
    """The arguments by which `subprocess` becomes another user; empty for our own user."""

    user: int
    group: int
    extra_groups: Sequence[int]


@dataclass(frozen=True, slots=True)
class Account:
    """A user of this machine."""

    name: str
    uid: int
    gid: int

    @property
    def identity(self) -> Identity:
        """The arguments that make `subprocess` start a program as this user."""
        if self.uid == os.geteuid():
            return {}
        groups = os.getgrouplist(self.name, self.gid)
        return {"user": self.uid, "group": self.gid, "extra_groups": groups}

    def run(
        self,
        command: Sequence[str | Path],
        environ: Mapping[str, str],
        stdin: str = "",
    ) -> subprocess.CompletedProcess[str]:
        """Run a program to its end as this user, with `stdin` as its input."""
        return subprocess.run(
            command,
            input=stdin,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            cwd="/",  # ours may be closed to this user
            env=server_environment(environ),
            **self.identity,
        )

    def may_enter(self, directory: Path) -> bool:
        """Return whether this user may enter the folder, by trying."""
        command = ("/bin/sh", "-c", 'cd -- "$1"', "sh", directory)
        return not self.identity or self.run(command, {}).returncode == 0


def server_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the few variables of the server's programs."""
    return {name: environ[name] for name in _PASSED_ON if name in environ}


def server_account(location: Location, environ: Mapping[str, str]) -> Account:
    """Return the owner of the cluster, or the user of a cluster that is not made yet.

    Raises:
        EmbeddedServerError: when that user has no name, is root, or is not our own user.
    """
    owner = location.data.stat().st_uid if location.data.exists() else None
    if os.geteuid() == 0:
        return _account_below_root(location, environ, owner)
    account = _by_uid(os.geteuid(), location)
    if owner not in (None, account.uid):
        raise errors.EmbeddedServerError(
            f"the server belongs to user id {owner}",
            location.directory,
            f"to be run by that user, not by {account.name}",
        )
    return account


def _account_below_root(
    location: Location,
    environ: Mapping[str, str],
    owner: int | None,
) -> Account:
    if owner is not None and owner != 0:
        return _by_uid(owner, location)
    if owner == 0:
        raise errors.EmbeddedServerError(
            "the server's data belongs to root, and PostgreSQL refuses to run as root",
            location.data,
            "another owner",
        )
    for name in (environ.get("JOBSD_PG_USER", ""), "postgres", "nobody"):
        account = _by_name(name)
        if account and account.uid != 0:
            return account
    raise errors.EmbeddedServerError(
        "PostgreSQL refuses to run as root, and no other user was found for it",
        expected="JOBSD_PG_USER to name one, or a user postgres or nobody",
    )


def _by_uid(uid: int, location: Location) -> Account:
    try:
        return _account(pwd.getpwuid(uid))
    except KeyError:
        raise errors.EmbeddedServerError(
            f"user id {uid} has no name, without which PostgreSQL can't start",
            location.directory,
            "an entry in /etc/passwd, or another database through DATABASE_URL",
        ) from None


def _by_name(name: str) -> Account | None:
    try:
        return _account(pwd.getpwnam(name))
    except KeyError:
        return None


def _account(entry: pwd.struct_passwd) -> Account:
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)
