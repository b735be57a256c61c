"""Makes a cluster completely or not at all.

It is made under another name, filled while no server runs (PostgreSQL's single-user
mode), synced to the disk, and renamed. So a folder called `data` always has its database, and
a starter that was killed leaves a folder that the next one removes.
"""

import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from jobsd.errors import EmbeddedServerError

from . import folders
from .account import Account
from .binaries import Binaries
from .location import DATABASE, ROLE, Location

_FRESH = "data.new-"
_INITDB = (
    f"--username={ROLE}",
    "--encoding=UTF8",
    "--locale=C.UTF-8",
    "--auth-local=peer",
    "--auth-host=reject",
    "--data-checksums",
    "--no-instructions",
    "--no-sync",  # once, at the end
)
# From 17 on PostgreSQL orders text by itself: no library of the system changes an index.
_BUILTIN = ("--locale-provider=builtin", "--builtin-locale=C.UTF-8")


def remove_leftovers(location: Location) -> None:
    """Remove what killed starters have left, unless their `initdb` still runs."""
    for left in location.directory.glob(f"{_FRESH}*"):
        shutil.rmtree(left, ignore_errors=True)


def make(
    location: Location,
    binaries: Binaries,
    account: Account,
    environ: Mapping[str, str],
) -> None:
    """Make the cluster of this directory. The caller holds the directory's lock.

    Raises:
        EmbeddedServerError: with the output of `initdb`; nothing is left.
    """
    # A new name each time: the initdb of a killed starter may still be writing.
    fresh = Path(tempfile.mkdtemp(prefix=_FRESH, dir=location.directory))
    try:
        if account.uid != os.geteuid():
            folders.chown(fresh, account)
        for command, given in _steps(fresh, binaries):
            _run(command, given, account, environ, location)
        # Else `git add .` in the project fails at files that only the server may read.
        (location.directory / ".gitignore").write_bytes(b"*\n")
        fresh.rename(location.data)
        folders.sync(location.directory)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _steps(fresh: Path, binaries: Binaries) -> list[tuple[Sequence[str | Path], str]]:
    initdb = binaries.program("initdb")
    ordering = _BUILTIN if binaries.major >= 17 else ()
    single = (
        binaries.program("postgres"),
        "--single",
        "-F",
        "-D",
        fresh,
        "-c",
        "exit_on_error=on",
    )
    steps: list[tuple[Sequence[str | Path], str]] = [
        ((initdb, "-D", fresh, *_INITDB, *ordering), ""),
        ((*single, "postgres"), f"CREATE DATABASE {DATABASE};\n"),
    ]
    if binaries.have_statistics:
        preload = ("-c", "shared_preload_libraries=pg_stat_statements")
        extension = "CREATE EXTENSION pg_stat_statements;\n"
        steps.append(((*single, *preload, DATABASE), extension))
    steps.append(((initdb, "-D", fresh, "--sync-only"), ""))
    return steps


def _run(
    command: Sequence[str | Path],
    given: str,
    account: Account,
    environ: Mapping[str, str],
    location: Location,
) -> None:
    done = account.run(command, environ, given)
    if done.returncode:
        raise EmbeddedServerError(
            f"{Path(command[0]).name} ended with status {done.returncode}",
            location.directory,
            log=tuple(done.stderr.strip().splitlines()[-10:]),
        )
