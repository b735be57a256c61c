"""Transactions whose events are emitted once, and only if they were committed.

When the connection breaks between a commit and its answer, only the server knows whether it
was committed. It is asked once it answers again; the events wait until then.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jobsd.database.statements import Statements

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from jobsd.database.connection import Session

STATEMENTS = Statements("jobsd.supervisor.recovery", "commits.sql")


@dataclass(slots=True)
class Commit:
    """A transaction that settles claims of a process.

    `emit` is called once it is committed. `complete` says that the process has no claims
    behind it.
    """

    process_id: int
    emit: Callable[[], None] = lambda: None
    complete: bool = False
    number: str | None = None


class Commits:
    """The transactions of one monitor, and those whose answer it still waits for."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._unanswered: list[Commit] = []

    @contextlib.contextmanager
    def commit(self, process_id: int) -> Generator[Commit]:
        """Commit what the block does, then emit its events."""
        commit = Commit(process_id)
        with self._session.connection.transaction():
            yield commit
            ((commit.number,),) = self._session.fetch(STATEMENTS["number"])
            self._unanswered.append(commit)
        self._unanswered.remove(commit)
        commit.emit()

    def emit_committed(self) -> None:
        """Emit the events of those whose answer was lost; those still in progress are kept."""
        for commit in list(self._unanswered):
            outcome = self._outcome(commit)
            if outcome == "in progress":
                continue
            self._unanswered.remove(commit)
            if outcome == "committed":
                commit.emit()

    def _outcome(self, commit: Commit) -> str | None:
        if commit.number is None:
            return None
        parameters = {
            "number": commit.number,
            "process_id": commit.process_id,
            "complete": commit.complete,
        }
        ((outcome,),) = self._session.fetch(STATEMENTS["outcome"], parameters)
        return str(outcome) if outcome else None
