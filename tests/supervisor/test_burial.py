"""A burial settles what it finds, and knows later whom it has buried."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

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
