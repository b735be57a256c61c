"""An outage of the database: waited out by each process, told by the tree, once at each end.

One error may be no more than a connection that broke: it is made anew at once, and if
that helps, nothing else has happened. A second error in a row is an outage; and so is the
first by which the server says that it is ill itself: short of room, memory or connections,
or failed by its disk. That it can do the next thing is no health. All processes
of a tree suffer the same one: the first of them tells it for all, and the last that is
back tells its end. Who dies meanwhile suffers no more; who has no row, no database.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
from psycopg import errors

from jobsd.clock import monotonic, monotonic_ns
from jobsd.database.grants import REMEDY
from jobsd.instruments.events import emit

if TYPE_CHECKING:
    from .board import Board
    from .slot import Slot

PAUSE_MIN_S = 0.1
PAUSE_MAX_S = 1.0
"""However long it takes: when the database is back, we are within about a second."""


_ILL = ("53", "58", "57P02")
"""Classes of errors: short of resources, failed by the system; and a crash of the server."""
RELAPSE_S = 10.0
"""An illness that comes again so soon has never gone: it is tried as seldom as before."""


class Outage:
    """What one process knows of it: counts from the first error to the first success."""

    def __init__(self, board: Board, slot: Slot) -> None:
        self._board = board
        self._slot = slot
        self._errors = 0
        self._first = ""
        self._pause_s = PAUSE_MIN_S
        self._told = False
        self._ill_at = float("-inf")

    def note(self, error: BaseException) -> float:
        """Take in an error; return the seconds to wait before trying again."""
        self._errors += 1
        ill = _is_ill(error)
        if ill:
            self._ill_at = monotonic()
        if self._errors == 1:
            self._first = _in_one_line(error)
            if not ill:
                return 0.0
        if not self._told:
            self._told = True
            with self._board.voice():
                self._slot.suffers = 1
                _begin(self._board, error)
        pause_s = self._pause_s
        self._pause_s = min(PAUSE_MAX_S, pause_s * 2)
        return pause_s

    def over(self) -> None:
        """Take in a success."""
        if self._errors == 1 and not self._told:
            emit("database.reconnected", error=self._first)
        if self._errors:
            self._errors, self._told = 0, False
            if monotonic() - self._ill_at > RELAPSE_S:
                self._pause_s = PAUSE_MIN_S
        if not self._board.database_seen:
            self._board.database_seen = 1
        if self._slot.suffers or (self._board.outage_since_ns and self._slot.row_id):
            self._end()

    def _end(self) -> None:
        board = self._board
        with board.voice():
            self._slot.suffers = 0
            since_ns = board.outage_since_ns
            if not since_ns or any(slot.suffers for slot in board.living()):
                return
            board.outage_since_ns = 0
        emit("database.back", duration=round((monotonic_ns() - since_ns) / 1e9, 3))


def begin(board: Board, error: BaseException) -> None:
    """Tell an outage that was met before there are processes to suffer it."""
    with board.voice():
        _begin(board, error)


def _begin(board: Board, error: BaseException) -> None:
    if not board.outage_since_ns:
        board.outage_since_ns = monotonic_ns()
        event = "database.lost" if board.database_seen else "database.waiting"
        emit(event, error=_in_one_line(error))


def _is_ill(error: BaseException) -> bool:
    sqlstate = error.sqlstate if isinstance(error, psycopg.Error) else None
    return sqlstate is not None and sqlstate.startswith(_ILL)


def _in_one_line(error: BaseException) -> str:
    told = " ".join(str(error).split())
    return f"{told}; {REMEDY}" if isinstance(error, errors.InsufficientPrivilege) else told
