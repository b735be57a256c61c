"""The driver alone: it stores what jobsd stores for each job, and runs nothing."""

# The runner of adapters has this folder first, and not the root of the project.
# mypy: ignore-errors
# pyright: basic, reportMissingImports=false, reportAttributeAccessIssue=false

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import psycopg
from adapter import main, url

sys.path.append(str(Path(__file__).parents[3]))

from benchmarks import plain
from jobsd.database.connection import Target
from jobsd.database.migrate import migrate


def setup() -> None:
    """Make the tables."""
    migrate(Target(url()))


@contextlib.contextmanager
def client() -> Iterator[object]:
    """Give what stores one job and many."""
    with psycopg.connect(url(), autocommit=True) as connection:
        yield partial(plain.insert, connection), partial(plain.copy_in, connection)


def work(processes: int, threads: int) -> None:
    """Refuse: there is no worker."""
    raise NotImplementedError(processes, threads)


if __name__ == "__main__":
    main(setup, client, work)
