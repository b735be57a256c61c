"""Counts round trips, by libpq's own record of what goes over the wire.

The record costs time, so it is made in a run of its own, from which nothing else is taken.
A round trip is an answer that says "ready" (to a statement, or to a pipeline as a whole)
or "go on" (to a COPY).
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.pq import Trace

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

_ANSWER = re.compile(
    rb"^B\t\d+\t(?:ReadyForQuery|CopyInResponse|CopyOutResponse)\b", re.MULTILINE
)


@dataclass(frozen=True, slots=True)
class Record:
    """The folder in which each connection writes a file."""

    folder: Path

    def round_trips(self) -> int:
        """Return how many there were until now, on all connections together."""
        return sum(len(_ANSWER.findall(path.read_bytes())) for path in self.folder.iterdir())


@contextlib.contextmanager
def recorded() -> Generator[Record]:
    """Record what every connection sends and receives that forked children make meanwhile.

    What it takes to connect is not recorded, nor what this process does to prepare.
    """
    record = Record(Path(tempfile.mkdtemp(prefix="jobsd-benchmarks-")))
    plain = psycopg.Connection.__dict__["connect"]
    tracing = classmethod(_tracing(plain.__func__, record.folder))
    psycopg.Connection.connect = tracing  # type: ignore[assignment]  # pyright: ignore[reportAttributeAccessIssue]
    try:
        yield record
    finally:
        psycopg.Connection.connect = plain  # type: ignore[method-assign]
        shutil.rmtree(record.folder, ignore_errors=True)


def _tracing(plain: Callable[..., Any], folder: Path) -> Callable[..., Any]:
    numbers, ours = itertools.count(), os.getpid()

    def connect(kind: type[Any], *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        connection = plain(kind, *args, **kwargs)
        if os.getpid() == ours:
            return connection
        path = folder / f"{os.getpid()}-{next(numbers)}"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
        connection.pgconn.trace(descriptor)
        connection.pgconn.set_trace_flags(Trace.SUPPRESS_TIMESTAMPS)
        return connection

    return connect
