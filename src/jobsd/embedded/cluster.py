"""Makes a cluster completely or not at all, and writes the server's configuration beside it.

It is made under another name, filled while no server runs (PostgreSQL's single-user
mode), synced to the disk, and renamed. So a folder called `data` always has its database, and
a starter that was killed leaves a folder that the next one removes. The configuration is
written at each start.
"""

import os
import pwd
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from jobsd.errors import EmbeddedServerError

from . import folders
from .account import Account
from .binaries import Binaries
from .location import DATABASE, PORT, ROLE, Location

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
    """Remove leftovers of killed starters, unless their `initdb` still runs."""
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
        EmbeddedServerError: with the output of `initdb`; no files remain.
    """
    # A new name each time: the initdb of a killed starter may still be writing.
    fresh = Path(tempfile.mkdtemp(prefix=_FRESH, dir=location.directory))
    try:
        if account.uid != os.geteuid():
            folders.chown(fresh, account)
        for command, given in _steps(fresh, binaries):
            _run(command, given, account, environ, location)
        # Without it, `git add .` in the project fails at files that only the server may read.
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


_HEAD = """\
# Written by jobsd at each start. For settings of your own: ALTER SYSTEM, which wins.
include 'data/postgresql.conf'
"""

# fsync and synchronous_commit stay on: a job that was committed is never lost.
_SETTINGS: dict[str, str] = {
    "listen_addresses": "",
    "port": str(PORT),
    "unix_socket_permissions": "0700",
    "max_connections": "200",
    "shared_buffers": "128MB",
    # Not "$user": that is the queue's own schema, and would take in the user's tables.
    "search_path": "public, jobsd",
    # After a checkpoint each page is written to the WAL whole once more; fewer checkpoints
    # write less, and a gigabyte is recovered within seconds.
    "checkpoint_timeout": "15min",
    "max_wal_size": "1GB",
    # Rows of a queue die young: vacuum more often than once a minute.
    "autovacuum_naptime": "15s",
    "random_page_cost": "1.1",
    "jit": "off",
    # The statement of a client that was killed ends soon, and so do its locks.
    "client_connection_check_interval": "5s",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "lc_messages": "C",
    "logging_collector": "on",
    "log_directory": "../log",
    "log_filename": "postgresql-%a.log",
    "log_truncate_on_rotation": "on",
    "log_rotation_age": "1d",
    "log_rotation_size": "0",
    "log_line_prefix": "%m [%p] %q%u@%d %a ",
}

# No passwords: the kernel identifies the connecting user, and the map has the allowed ones.
_ACCESS = f"""\
# Written by jobsd at each start.
local all         all peer map={ROLE}
local replication all peer map={ROLE}
host  all         all all reject
"""


def write(location: Location, binaries: Binaries, account: Account) -> None:
    """Write the changed files."""
    access = location.directory / "pg_hba.conf"
    names = location.directory / "pg_ident.conf"
    chosen = _SETTINGS | {
        "unix_socket_directories": _listed(str(location.socket)),
        "cluster_name": f"jobsd-{location.name}",
        "hba_file": str(access),
        "ident_file": str(names),
    }
    if binaries.have_statistics:
        chosen["shared_preload_libraries"] = "pg_stat_statements"
    lines = (f"{name} = {_quoted(value)}\n" for name, value in chosen.items())
    folders.write(location.settings, _HEAD + "".join(lines))
    folders.write(access, _ACCESS)
    folders.write(names, _map(account, binaries.major))


def _map(account: Account, major: int) -> str:
    """Return the map from users of the machine to the roles that they may use.

    They may all be the superuser, so from PostgreSQL 16 on, which has a word for it, they may
    be any other role, too.
    """
    starter = pwd.getpwuid(os.geteuid()).pw_name
    users = dict.fromkeys((account.name, "root", starter))
    role = "all" if major >= 16 else ROLE
    return "".join(f'{ROLE} "{user}" {role}\n' for user in users)


def _listed(path: str) -> str:
    escaped = path.replace('"', '""')
    return f'"{escaped}"'


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace("'", "''")
    return f"'{escaped}'"
