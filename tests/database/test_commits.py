"""A transaction whose events wait for its commit holds up nobody for long."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

from typing import TYPE_CHECKING, Any, LiteralString

import psycopg
import pytest

from jobsd.database import commits
from jobsd.database.commits import Commit, Commits
from jobsd.database.connection import OUTAGES, Session, Statement
from waiting import wait_until

if TYPE_CHECKING:
    from jobsd.database.connection import Target

LIVES = "SELECT FROM pg_stat_activity WHERE pid = %s"


@pytest.mark.failure(
    "A process stands still amid a transaction of a dispatcher or a monitor.",
    "The server ends the transaction within five seconds, and others go on; the process"
    " connects anew once it runs again.",
)
def test_a_process_stopped_amid_its_commit_has_an_outage(
    target: Target, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commits, "IDLE", "10ms")
    frozen = Session(target, "frozen")
    pid = frozen.connection.info.backend_pid
    emitted: list[str] = []

    def stand_still() -> None:
        with Commits(frozen).commit() as commit:
            commit.emit = lambda: emitted.append("committed")
            wait_until(lambda: not session.connection.execute(LIVES, [pid]).fetchall())

    with pytest.raises(OUTAGES):
        stand_still()

    assert emitted == []
    frozen.close()


_FALSE, _TRUE = (Statement("proof", f"SELECT {word}") for word in ("false", "true"))


def _begin(connection: psycopg.Connection[Any]) -> str:
    """Begin a transaction that has a number, as one that writes, and return the number."""
    connection.execute("BEGIN")
    row = connection.execute("SELECT pg_current_xact_id()::text").fetchone()
    assert row is not None
    return str(row[0])


def _unanswered(commits: Commits, number: str | None, **more: Any) -> list[str]:
    """Let the answer to a commit be lost; return what is emitted of it."""
    emitted: list[str] = []
    lost = Commit(lambda: emitted.append("committed"), number=number, **more)
    commits._unanswered.append(lost)
    return emitted


@pytest.mark.failure(
    "The connection breaks at a commit on which the server still works.",
    "The process asks again until the server knows the outcome, and emits the events of a"
    " commit once.",
)
@pytest.mark.parametrize(("word", "emits"), [("COMMIT", 1), ("ROLLBACK", 0)])
def test_the_outcome_of_an_unanswered_commit_is_emitted_once(
    target: Target, session: Session, word: LiteralString, emits: int
) -> None:
    commits = Commits(session)
    with psycopg.connect(target.url, autocommit=True) as other:
        emitted = _unanswered(commits, _begin(other))
        commits.emit_committed()
        while_in_progress = list(emitted)
        other.execute(word)
    for _ in range(2):
        commits.emit_committed()

    assert (while_in_progress, emitted) == ([], ["committed"] * emits)


@pytest.mark.parametrize(("proof", "emits"), [(_TRUE, 1), (_FALSE, 0)])
def test_the_number_of_a_commit_that_a_failover_has_given_out_again_emits_nothing(
    target: Target, session: Session, proof: Statement, emits: int
) -> None:
    commits = Commits(session)
    with psycopg.connect(target.url, autocommit=True) as other:
        emitted = _unanswered(commits, _begin(other), proof=(proof, {}))
        other.execute("COMMIT")

    for _ in range(2):
        commits.emit_committed()

    assert emitted == ["committed"] * emits


def test_a_commit_that_was_answered_is_emitted_once(session: Session) -> None:
    commits, emitted = Commits(session), list[str]()

    with commits.commit() as commit:
        commit.emit = lambda: emitted.append("committed")
        session.connection.execute("SELECT pg_current_xact_id()")
    commits.emit_committed()

    assert emitted == ["committed"]
