"""What a worker keeps in its journal when it is asked to end while the database is away."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import psycopg
import pytest

from harness.job_rows import places
from jobsd.clock import monotonic_ns
from jobsd.database.connection import Session, Target
from jobsd.processes.outcome_journal import Contents, journal_path, journal_paths, read_journal
from waiting import wait_until

from .bodies import gate, id_of, note, noted, wait_for_gate

if TYPE_CHECKING:
    from pathlib import Path

    from harness.event_recorder import EventRecorder
    from jobsd.scoreboard.scoreboard import Scoreboard

    from .conftest import Driven, MakeWorker

NOWHERE = Target("postgresql://user@127.0.0.1:1/away")


class Away:
    """A worker with a job that has ended and one that runs, when the database goes away."""

    def __init__(self, driven: Driven, target: Target) -> None:
        self.driven, self._target = driven, target
        self.worker = driven.worker
        self.running, self.ended = id_of(wait_for_gate.enqueue()), id_of(note.enqueue(1))
        driven.until(lambda: self.worker.pool.uncollected == 2)
        wait_until(lambda: len(noted) == 2 and self.worker.pool.busy == 1)
        self.worker.disconnect()
        self.worker.session.target = NOWHERE

    def tries(self) -> None:
        """Try to connect, as the process does again and again."""
        with pytest.raises(psycopg.OperationalError):
            self.worker.connect()

    def is_back(self) -> None:
        """Let the database be there again."""
        self.worker.session.target = self._target
        self.worker.connect()


@pytest.fixture
def away(make_worker: MakeWorker, target: Target, tmp_path: Path) -> Away:
    return Away(make_worker("worker-kept", threads=2, journals=tmp_path), target)


def _kept(folder: Path) -> Contents | None:
    (path,) = journal_paths(folder)
    return read_journal(path)


def test_an_ending_worker_saves_new_outcomes_at_each_try(away: Away, tmp_path: Path) -> None:
    away.worker.stop()
    away.tries()
    before = _kept(tmp_path)
    gate.set()
    wait_until(lambda: away.worker.pool.busy == 0)
    away.tries()
    after = _kept(tmp_path)

    assert before is not None
    assert before.process_id == away.worker.process_id
    assert [kept.job_id for kept in before.outcomes] == [away.ended]
    assert after is not None
    assert [kept.job_id for kept in after.outcomes] == [away.ended, away.running]
    assert {(kept.outcome, kept.attempt, kept.ttl_s) for kept in after.outcomes} == {
        ("finished", 1, None)
    }


def test_a_worker_that_reaches_the_database_again_needs_no_journal(
    away: Away, tmp_path: Path, session: Session
) -> None:
    gate.set()
    away.worker.stop()
    away.tries()

    away.is_back()

    assert journal_paths(tmp_path) == []
    away.driven.until(lambda: away.worker.stopped)
    assert {*places(session).values()} == {"finished"}


def test_a_second_outage_is_kept_in_a_journal_of_its_own(away: Away, tmp_path: Path) -> None:
    away.worker.stop()
    away.tries()
    away.is_back()
    away.worker.disconnect()
    away.worker.session.target = NOWHERE
    away.tries()

    kept = _kept(tmp_path)

    assert kept is not None
    assert kept.process_id == away.worker.process_id
    assert [each.job_id for each in kept.outcomes] == [away.ended]


def test_no_try_to_connect_lasts_until_a_worker_is_killed(
    away: Away, tmp_path: Path, session: Session
) -> None:
    """Though the URL lets a try last 60 s, and a server takes the connection in silence."""
    gate.set()
    wait_until(lambda: away.worker.pool.busy == 0)
    away.worker.stop()
    entry = away.driven.context.entry
    entry.kill_at_ns = monotonic_ns() + 2_000_000_000

    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql://user@127.0.0.1:{silent.getsockname()[1]}/away?connect_timeout=60"
        away.worker.session.target = Target(url)
        away.tries()

    assert entry.left_s() > 0
    kept = _kept(tmp_path)
    assert kept is not None
    assert len(kept.outcomes) == 2
    entry.kill_at_ns = monotonic_ns() + 60_000_000_000
    away.is_back()
    away.driven.until(lambda: away.worker.stopped)
    assert {*places(session).values()} == {"finished"}


def test_a_worker_keeps_nothing_before_it_is_asked_to_end(away: Away, tmp_path: Path) -> None:
    away.tries()

    assert journal_paths(tmp_path) == []


def test_a_worker_without_its_supervisor_saves_no_outcomes(away: Away, tmp_path: Path) -> None:
    """Its jobs have not been asked to end: those that ran have crashed."""
    away.driven.context.orphaned = True
    away.worker.stop()
    away.tries()

    assert journal_paths(tmp_path) == []


@pytest.mark.parametrize("tree_ends", [True, False])
def test_outcomes_that_can_not_be_saved_are_reported_once_if_the_tree_ends(
    away: Away,
    tmp_path: Path,
    scoreboard: Scoreboard,
    recorder: EventRecorder,
    *,
    tree_ends: bool,
) -> None:
    lost = recorder.facts("outcomes.lost")
    scoreboard.stopping = int(tree_ends)
    journal_path(tmp_path, "worker-kept").mkdir()
    away.worker.stop()
    away.tries()
    away.tries()

    outcomes = [facts["outcomes"] for facts in lost]
    assert outcomes == [{"finished": [away.ended], "released": [away.running]}] * tree_ends
    entry = away.driven.context.entry
    assert entry.outcomes_lost == 1
    gate.set()
    away.is_back()
    assert entry.outcomes_lost == 0


def test_nothing_is_claimed_before_the_journals_are_read(
    make_worker: MakeWorker, scoreboard: Scoreboard, session: Session
) -> None:
    scoreboard.journals_unread = 1
    driven = make_worker()
    job_id = id_of(note.enqueue(1))
    for _ in range(3):
        driven.worker.poll()
    assert places(session) == {job_id: "ready"}

    scoreboard.journals_unread = 0

    driven.until(lambda: places(session) == {job_id: "finished"})
