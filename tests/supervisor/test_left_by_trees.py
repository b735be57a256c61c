"""What a scoreboard knows of dead workers outlives a tree that ends without a database."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from harness.job_rows import failure, places
from harness.remains import ERROR, RAN_S, Died, ends, lost
from jobsd.processes.outcome_journal import Journal, KeptOutcome, journal_path, journal_paths
from jobsd.scoreboard.scoreboard import Scoreboard
from jobsd.supervisor.recovery.recovery import Recovery, keep_dead

if TYPE_CHECKING:
    from pathlib import Path

    from harness.event_recorder import Emitted
    from jobsd.database.connection import Session


@pytest.mark.parametrize(
    ("reason", "became"), [("stop", "ready"), ("oom", "failed")], ids=["asked", "crashed"]
)
def test_outcomes_on_the_scoreboard_outlive_their_tree(
    session: Session, tmp_path: Path, reason: str, became: str
) -> None:
    died = Died(session, reason)

    keep_dead(died.scoreboard, tmp_path)

    own = Scoreboard().entries[0]
    assert Recovery(session, own, tmp_path, keep_finished=True).recover_journals([])
    first, second, third = died.jobs
    assert places(session) == {first: became, second: "finished", third: "ready"}
    if became == "failed":
        assert "because memory had run out" in failure(session, first)["message"]
    assert died.entry.outcomes_lost == 0


def test_outcomes_that_can_not_be_kept_are_reported(
    session: Session, tmp_path: Path, reported: Emitted
) -> None:
    died = Died(session, "stop")
    (tmp_path / "file").touch()

    keep_dead(died.scoreboard, tmp_path / "file")

    first, second, _ = died.jobs
    (facts,) = lost(reported)
    assert facts["outcomes"] == {"finished": [second], "released": [first]}
    assert died.entry.outcomes_lost == 1


def test_the_tree_s_own_dead_are_recovered_by_both(
    session: Session, tmp_path: Path, reported: Emitted
) -> None:
    died = Died(session, "stop")
    first, second, third = died.jobs
    ((claim_id,),) = session.connection.execute("SELECT id FROM jobsd.claims").fetchall()
    journal = Journal(journal_path(tmp_path, "worker-gone"))
    kept = KeptOutcome(
        *(claim_id, third, "app.job", "default", 1, "failed", time.time(), RAN_S), error=ERROR
    )
    journal.append([{"process_id": died.entry.row_id}, kept._asdict()])
    journal.close()
    own = died.scoreboard.entries[1]
    own.take("monitor", "monitor-test")

    assert Recovery(session, own, tmp_path, keep_finished=True).recover(died.entry)

    assert places(session) == {first: "ready", second: "finished", third: "failed"}
    assert failure(session, third)["message"] == "in its own words"
    assert len(ends(reported)) == 3
    assert journal_paths(tmp_path) == []
