"""Stores the output and the log lines of a worker's jobs, if logs are kept.

Works in a thread and over a connection of its own: no claim and no outcome waits for it,
however many lines there are and however slow the database is. It stores one portion a second.
"""

import threading

import psycopg

from jobsd.clock import monotonic
from jobsd.database.connection import OUTAGES, Session, Target
from jobsd.database.portions import Portion, is_late
from jobsd.logs.capture import KEPT, KeptLog, Piece
from jobsd.states import kept_logs

EVERY_S = 1.0
END_S = 5.0
"""Time that the exit of a process waits until the last lines are stored."""


class LogWriter:
    """The thread of one worker that stores logs; begins with the first line."""

    def __init__(self, target: Target, name: str) -> None:
        self._session = Session(target, f"jobsd {name} logs")
        self._name = name
        self._portion = Portion()
        self._written: set[int] = set()
        """The jobs whose logs were stored last; their rows may just have been deleted."""
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="jobsd-logs", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Store the remaining lines within `END_S`, then end."""
        self._ending.set()
        self._thread.join(END_S)

    def _run(self) -> None:
        self._store()
        while not self._ending.wait(EVERY_S):
            self._store()
        until = monotonic() + END_S
        while (KEPT or self._written) and monotonic() < until and self._store():
            pass
        self._session.close()

    def _store(self) -> bool:
        """Store a portion; return whether the database has stored it."""
        pieces: list[Piece] = []
        began = monotonic()
        try:
            if self._written:
                kept_logs.sweep(self._session, self._written)
                self._written.clear()
            pieces, removed = KEPT.take(1 if self._portion.is_one else self._portion.most)
            if not (pieces or removed):
                return True
            written = kept_logs.write(self._session, self._name, pieces, removed)
        except psycopg.Error as error:
            self._session.close()
            self._note_failure(error, pieces)
            return False
        self._portion.was_answered(_size(pieces), monotonic() - began, self._session.deadline_s)
        KEPT.settle([piece for piece in pieces if piece.log.job_id in written], removed)
        KEPT.put_back({piece.log for piece in pieces if piece.log.job_id not in written})
        self._written |= written
        return True

    def _note_failure(self, error: psycopg.Error, pieces: list[Piece]) -> None:
        """Halve the next portion; after repeated failures, drop its lines."""
        hopeless: set[KeptLog] = set()
        if is_late(error):
            self._portion.was_late(_size(pieces) or None)
            hopeless = {piece.log for piece in pieces} if len(pieces) == 1 else set()
        elif not isinstance(error, OUTAGES):
            hopeless = {piece.log for piece in pieces}
        KEPT.put_back(hopeless)


def _size(pieces: list[Piece]) -> int:
    return sum(len(piece.text) for piece in pieces)
