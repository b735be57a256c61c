"""Statements in sequence, as a generator for blocking and asynchronous senders.

It is written once for connections that wait and for those that await (`async_drivers.take`).
It gets the rows of each step, or the error that it has raised.
"""

import contextlib
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

from psycopg import errors

from jobsd.database.statements import Statement

from .drivers import Driver, PsycopgDriver, sqlstate

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Ask:
    """Run a statement; its rows come back."""

    statement: Statement
    parameters: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class Copy:
    """Run a COPY, or several, of these pieces of many lines, which are drawn meanwhile."""

    statement: Statement
    pieces: Iterator[str]


Steps = Generator[Ask | Copy, Sequence[Sequence[Any]], T]

_SAVEPOINT = tuple(
    Ask(Statement("savepoint", words))
    for words in (
        "SAVEPOINT jobsd",
        "RELEASE SAVEPOINT jobsd",
        "ROLLBACK TO SAVEPOINT jobsd",
    )
)
_TRANSACTION = tuple(
    Ask(Statement("transaction", words)) for words in ("BEGIN", "COMMIT", "ROLLBACK")
)


def take(steps: Steps[T], driver: Driver) -> T:
    """Take all steps through a connection; return the value of the generator."""
    try:
        step = next(steps)
        while True:
            try:
                rows = _do(step, driver)
            except BaseException as error:  # noqa: BLE001 - the generator's to decide about
                step = steps.throw(error)
            else:
                step = steps.send(rows)
    except StopIteration as stop:
        done: T = stop.value
        return done


def within_savepoint(steps: Steps[T]) -> Steps[T]:
    """Take all steps or none: in a savepoint, or in a transaction if none is open.

    With autocommit none is open.
    """
    begin, keep, undo = _SAVEPOINT
    try:
        yield begin
    except Exception as error:
        if sqlstate(error) != errors.NoActiveSqlTransaction.sqlstate:
            raise
        begin, keep, undo = _TRANSACTION
        yield begin
    try:
        done = yield from steps
    except BaseException:
        # Keep the original error, not that of the rollback.
        with contextlib.suppress(Exception):
            yield undo
        raise
    yield keep
    return done


def _do(step: Ask | Copy, driver: Driver) -> Sequence[Sequence[Any]]:
    if isinstance(step, Ask):
        return driver.fetch(step.statement, step.parameters)
    # Only psycopg's driver is given COPY steps.
    cast("PsycopgDriver", driver).copy(step.statement, step.pieces)
    return ()
