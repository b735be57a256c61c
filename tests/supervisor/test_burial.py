"""A burial settles what it finds, and knows later whom it has buried."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from jobsd.processes import registry
from jobsd.processes.board import Board
from jobsd.supervisor.monitor.burial import Burial
from jobsd.supervisor.monitor.look import Stranger
from monitored_tree.tree import claim, make_jobs, places

if TYPE_CHECKING:
    from jobsd.database.connection import Session


def test_a_claim_that_is_committed_after_the_burial_was_never_started(session: Session) -> None:
    (job,) = make_jobs(session, 1)
    board = Board()
    own, dead = board.slots[:2]
    dead.take("worker", "worker-late")
    row_id = registry.register(
        session, kind="worker", name="worker-late", supervisor_id=0, metadata={}
    )
    dead.set_row(row_id)
    dead.bury(signal.SIGKILL, "signal", 0)
    burial = Burial(session, own, keep_finished=True)
    burial.bury(dead)

    claim(session, row_id, [job])
    stranger = Stranger(row_id, "worker", "worker-late", 1, "here", 0.0, "", "", "", 3)

    assert burial.bury_vanished(stranger)
    assert places(session) == {job: "ready"}


@pytest.mark.parametrize("beats", [False, True])
@pytest.mark.failure(
    "A tree stands still for so long that another is about to declare it dead, and goes on",
    "Its worker beats before it claims anything, and is left alone; or it finds itself buried",
)
def test_who_has_beaten_since_it_was_looked_at_is_not_pruned(
    session: Session, *, beats: bool
) -> None:
    (job,) = make_jobs(session, 1)
    row_id = registry.register(
        session, kind="worker", name="worker-slow", supervisor_id=0, metadata={}
    )
    claim(session, row_id, [job])
    (seen,) = session.connection.execute(
        b"""
        UPDATE jobsd.processes SET last_heartbeat_at = now() - interval '60 s'
        RETURNING extract(epoch FROM last_heartbeat_at)::float8
        """
    ).fetchall()
    stranger = Stranger(row_id, "worker", "worker-slow", 1, "here", seen[0], "", "", "", 3)
    if beats:
        again = registry.register(
            session, kind="worker", name="worker-slow", supervisor_id=0, metadata={}
        )
        assert again == row_id

    assert Burial(session, Board().slots[0], keep_finished=True).prune(stranger, 60.0)

    assert places(session) == {job: "claimed" if beats else "failed"}
    assert [row.id for row in registry.processes(session)] == [row_id] * beats
