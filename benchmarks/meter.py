"""What a stretch of work has cost: WAL, statements, transactions, processor time.

The server is asked through a connection to another database, so that the asking is not
counted. Its processor time is that of its first process and all its children, dead ones
included: a vacuum or a checkpoint that the work causes belongs to its price. Where the
server runs elsewhere nobody can say.
"""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import errors

from jobsd.clock import monotonic

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .server import Connection, Server

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
_PATIENCE_S = 10.0
_POLL_S = 0.005
_SESSIONS = b"""
SELECT pid FROM pg_stat_activity WHERE datname = %s AND backend_type = 'client backend'
"""


@dataclass(frozen=True, slots=True)
class Usage:
    """What one job has cost; None where it can't be known. CPU times are microseconds."""

    wal_bytes: float | None = None
    statements: float | None = None
    transactions: float | None = None
    round_trips: float | None = None
    client_cpu_us: float | None = None
    server_cpu_us: float | None = None


@dataclass(frozen=True, slots=True)
class Total:
    """What a stretch of work has cost in all."""

    wal_bytes: int
    statements: float | None
    transactions: int
    server_cpu_s: float | None

    def per(self, jobs: int, client_cpu_s: float | None) -> Usage:
        """Return the cost of one of so many jobs."""
        return Usage(
            wal_bytes=self.wal_bytes / jobs,
            statements=None if self.statements is None else self.statements / jobs,
            transactions=self.transactions / jobs,
            client_cpu_us=None if client_cpu_s is None else client_cpu_s / jobs * 1e6,
            server_cpu_us=None if self.server_cpu_s is None else self.server_cpu_s / jobs * 1e6,
        )


class Meter:
    """Reads the server's counters for one database: from its making to `read`."""

    def __init__(self, server: Server, database: str) -> None:
        self._database = database
        self._connection = server.connect()
        self._postmaster = _postmaster(self._connection)
        self._counts_statements = _has_statistics(self._connection)
        self._before = self._now()

    def read(self, besides: frozenset[int] = frozenset()) -> Total:
        """Return what has been used until now, and close the meter.

        A session hands in what it has counted when it ends, a moment after its client has
        gone. So this waits for the end of all sessions in the database, but for those of
        `besides`, which belong to something else.

        Raises:
            TimeoutError: when one of them does not end.
        """
        end = monotonic() + _PATIENCE_S
        while sessions(self._connection, self._database) - besides:
            if monotonic() > end:
                raise TimeoutError("sessions of the measured work have not ended in time")
            time.sleep(_POLL_S)
        return self.read_at_work()

    def read_at_work(self) -> Total:
        """Do so while sessions go on: their transactions may be told some seconds late."""
        before, now = self._before, self._now()
        self._connection.close()
        return Total(
            now.wal_bytes - before.wal_bytes,
            _minus(now.statements, before.statements),
            now.transactions - before.transactions,
            _minus(now.server_cpu_s, before.server_cpu_s),
        )

    def _now(self) -> Total:
        wal = self._ask("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn")
        transactions = self._ask(
            "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = %s",
            self._database,
        )
        return Total(
            int(wal),
            self._statements() if self._counts_statements else None,
            int(transactions or 0),
            _tree_cpu_s(self._postmaster) if self._postmaster else None,
        )

    def _statements(self) -> int:
        return int(
            self._ask(
                "SELECT coalesce(sum(calls), 0) FROM pg_stat_statements AS statement"
                " JOIN pg_database AS database ON database.oid = statement.dbid"
                " WHERE datname = %s AND toplevel",
                self._database,
            )
        )

    def _ask(self, query: str, *parameters: str) -> Any:  # noqa: ANN401 - one value of any type
        row = self._connection.execute(query.encode(), parameters).fetchone()
        return row[0] if row else None


def sessions(connection: Connection, database: str) -> frozenset[int]:
    """Return the process ids of the clients' sessions in this database."""
    return frozenset(row[0] for row in connection.execute(_SESSIONS, (database,)))


def cpu_s(pid: int, *, with_dead_children: bool = False) -> float:
    """Return the processor time that a process has used, 0 when it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return 0.0
    ticks = [int(field) for field in fields.rpartition(")")[2].split()[11:15]]
    return sum(ticks if with_dead_children else ticks[:2]) * _TICK_S


def threads_cpu_s(pid: int) -> float:
    """Return the processor time of the living threads of a process, finer than in ticks."""
    return sum(int(each.split()[0]) for each in _of_threads(pid, "schedstat")) / 1e9


def wakes(pid: int) -> int:
    """Return how often the living threads of a process have gone to rest."""
    lines = [line for each in _of_threads(pid, "status") for line in each.splitlines()]
    return sum(int(line.split()[1]) for line in lines if line.startswith("voluntary_ctxt"))


def _of_threads(pid: int, name: str) -> Iterator[str]:
    for thread in Path(f"/proc/{pid}/task").glob("*"):
        with contextlib.suppress(OSError):
            yield (thread / name).read_text(encoding="ascii", errors="replace")


def children(pid: int) -> list[int]:
    """Return the processes that a process has started and that live."""
    try:
        found = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    except OSError:
        return []
    return [int(child) for child in found.split()]


def _tree_cpu_s(postmaster: int) -> float:
    living = sum(cpu_s(child) for child in children(postmaster))
    return living + cpu_s(postmaster, with_dead_children=True)


def _postmaster(connection: Connection) -> int | None:
    """Return the server's first process, or None when it is none of this machine's."""
    backend = connection.info.backend_pid
    try:
        stat = Path(f"/proc/{backend}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    name, _, fields = stat.rpartition(")")
    return int(fields.split()[1]) if name.endswith("(postgres") else None


def _has_statistics(connection: Connection) -> bool:
    try:
        connection.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
        connection.execute("SELECT FROM pg_stat_statements LIMIT 1")
    except (errors.Error, psycopg.Error):
        return False
    return True


def _minus(now: float | None, before: float | None) -> float | None:
    return None if now is None or before is None else now - before
