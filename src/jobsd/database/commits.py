"""Transactions whose events are emitted once, and only if they were committed.

When the connection breaks between a commit and its answer, only the server knows whether it was
committed. It is asked once it answers again; the events wait until then.
"""

import contextlib
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Any

from .connection import Session, Statement, Statements

STATEMENTS = Statements("jobsd.database", "commits.sql")

IDLE = "5s"
"""Time for which a process may be suspended inside a transaction."""


@dataclass(slots=True)
class Commit:
    """A transaction, and `emit`, which is called once it is committed.

    A standby that was promoted without it assigns its number again. The statement `proof`, if
    given, returns whether its effect is there.
    """

    emit: Callable[[], object] = lambda: None
    proof: tuple[Statement, Mapping[str, Any]] | None = None
    number: str | None = None


class Commits:
    """The transactions of one session, including unanswered ones."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self._unanswered: list[Commit] = []

    @contextlib.contextmanager
    def commit(self) -> Generator[Commit]:
        """Commit the block's statements, then emit its events.

        Raises:
            psycopg.errors.IdleInTransactionSessionTimeout: if we were suspended meanwhile.
        """
        commit = Commit()
        with self.session.connection.transaction():
            self.session.fetch(STATEMENTS["bounded"], {"idle": IDLE})
            yield commit
            ((commit.number,),) = self.session.fetch(STATEMENTS["number"])
            self._unanswered.append(commit)
        self._unanswered.remove(commit)
        commit.emit()

    def emit_committed(self) -> None:
        """Emit the events of committed transactions without an answer; keep unfinished ones.

        Called before any work that such a transaction may have done already.
        """
        for commit in list(self._unanswered):
            outcome = self._outcome(commit)
            if outcome == "in progress":
                continue
            is_ours = outcome == "committed" and self._is_there(commit)
            self._unanswered.remove(commit)
            if is_ours:
                commit.emit()

    def _outcome(self, commit: Commit) -> str | None:
        if commit.number is None:
            return None
        ((outcome,),) = self.session.fetch(STATEMENTS["outcome"], {"number": commit.number})
        return str(outcome) if outcome else None

    def _is_there(self, commit: Commit) -> bool:
        return commit.proof is None or bool(self.session.fetch(*commit.proof)[0][0])
