"""The directory of an embedded server, and the paths of everything in it."""

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

ROLE = DATABASE = "jobsd"
PORT = 5432

_STATE = Path("/var/lib/jobsd-embedded")  # /var/lib/jobsd is the service's, and private
_SOCKET_PATH_BYTES_MAX = 107  # sun_path of unix(7), without its NUL


@dataclass(frozen=True, slots=True)
class Location:
    """The directory of one embedded server.

    `name` is the project's, for people (`ps` shows it). `copies` is the folder for copies of
    binaries that the server's user can't run in the wheel; all servers of root share it.
    """

    directory: Path
    name: str = "project"
    copies: Path = _STATE / "postgresql"
    project: Path | None = None
    """The project's folder, if it is known."""

    @property
    def data(self) -> Path:
        """PostgreSQL's own directory. It has this name only once it is whole."""
        return self.directory / "data"

    @property
    def is_made(self) -> bool:
        """Whether there is a cluster, of any version."""
        return (self.data / "PG_VERSION").exists()

    @property
    def settings(self) -> Path:
        """The configuration, which includes PostgreSQL's own file."""
        return self.directory / "postgresql.conf"

    @property
    def logs(self) -> Path:
        """The server's log, a file for each day of the week."""
        return self.directory / "log"

    @property
    def start_log(self) -> Path:
        """The output of the server's last start before it had a log."""
        return self.directory / "start.log"

    @property
    def socket(self) -> Path:
        """The private folder that holds the socket.

        Below /tmp if ours is too deep for a socket, or has a comma, at which libpq would split
        it. Not in XDG_RUNTIME_DIR: that goes when its user logs out.
        """
        folder = self.directory.resolve() / "socket"  # one name, whatever path leads here
        path = os.fsencode(folder / f".s.PGSQL.{PORT}")
        if len(path) <= _SOCKET_PATH_BYTES_MAX and b"," not in path:
            return folder
        return Path("/tmp") / f"jobsd-{_digest(folder.parent)}"  # noqa: S108  # its owner is checked

    @property
    def url(self) -> str:
        """The URL for psycopg and psql, unaffected by PGPORT and PGHOST."""
        host = quote(os.fsencode(self.socket), safe="/")
        return f"postgresql://{ROLE}@/{DATABASE}?host={host}&port={PORT}"


def location(root: Path, environ: Mapping[str, str]) -> Location:
    """Return the directory of the embedded server of the project at `root`.

    A relative JOBSD_EMBEDDED_DIR is one below the project. Links on its way stay in the path:
    they are checked when the directory is made.
    """
    project = root.resolve()
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", project.name).strip("-.")[:40] or "project"
    if given := environ.get("JOBSD_EMBEDDED_DIR"):
        directory = project / given
    elif os.geteuid() == 0:
        directory = _STATE / f"{name}-{_digest(project)}" / "postgres"
    else:
        directory = project / "storage" / "postgres"
    return Location(directory, name, project=project)


def _digest(path: Path) -> str:
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:12]
