"""The server's configuration, written beside the cluster at each start."""

import os
import pwd

from . import folders
from .account import Account
from .binaries import Binaries
from .location import PORT, ROLE, Location

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

# No passwords: the kernel says which user connects, and the map which user may.
_ACCESS = f"""\
# Written by jobsd at each start.
local all         all peer map={ROLE}
local replication all peer map={ROLE}
host  all         all all reject
"""


def write(location: Location, binaries: Binaries, account: Account) -> None:
    """Write the files whose contents have changed."""
    access = location.directory / "pg_hba.conf"
    names = location.directory / "pg_ident.conf"
    chosen = _SETTINGS | {
        "unix_socket_directories": _listed(str(location.socket)),
        "cluster_name": f"jobsd-{location.name}"[:63],
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
    """Return which users of the machine may come in, as which role.

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
