"""A transaction whose events wait for its commit holds up nobody for long."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jobsd.database import commits
from jobsd.database.commits import Commits
from jobsd.database.connection import OUTAGES, Session
from waiting import wait_until

if TYPE_CHECKING:
    from jobsd.database.connection import Target

LIVES = "SELECT FROM pg_stat_activity WHERE pid = %s"


@pytest.mark.failure(
    "A process stands still amid a transaction of a dispatcher or a monitor.",
    "The server ends the transaction within five seconds, and others go on; the process"
    " connects anew once it runs again.",
)
def test_who_stands_still_amid_it_has_an_outage(
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
