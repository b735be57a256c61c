"""What a recovery leaves in the rows of a job beside where it goes: the second columns."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from harness.job_rows import claim, make_jobs, places, worker_row
from harness.remains import Gone
from jobsd.database import portions
from jobsd.processes.outcome_journal import Journal, read_journal
from jobsd.scoreboard.scoreboard import Scoreboard
from jobsd.states.claims import InClaim
from jobsd.supervisor.recovery import journals
from jobsd.supervisor.recovery import recovery as recoveries
from jobsd.supervisor.recovery.claims import DeadProcess, recover
from jobsd.supervisor.recovery.peers import PeerProcess
from jobsd.supervisor.recovery.recovery import Recovery

if TYPE_CHECKING:
    from pathlib import Path

    from jobsd.database.connection import Session, Target
    from rows import Rows


def _crash(session: Session, **columns: Any) -> int:
    """Let a job crash that has these columns, and is tried again."""
    (job,) = make_jobs(session, 1, **{"max_attempts": 3, "retries_crash": True, **columns})
    row_id = worker_row(session)
    claim(session, row_id, [job])
    recovered = recover(session, DeadProcess(row_id, "worker-dead", {}, threads=1))
    assert recovered.complete
    assert places(session) == {job: "scheduled"}
    return job


def test_a_job_that_has_crashed_is_not_set_aside_any_more(session: Session, rows: Rows) -> None:
    _crash(session, set_aside_at="2026-01-01")

    assert rows("SELECT set_aside_at FROM jobsd.jobs") == [None]


@pytest.mark.parametrize(("until", "left"), [("started", None), ("finished", "finished")])
def test_a_job_that_was_unique_until_its_start_has_started_when_it_crashed(
    session: Session, rows: Rows, until: str, left: str | None
) -> None:
    _crash(session, unique_key="key", unique_until=until)

    assert rows("SELECT unique_until FROM jobsd.jobs") == [left]


def test_a_job_of_very_many_attempts_is_tried_again_within_about_a_day(
    session: Session, rows: Rows
) -> None:
    _crash(session, attempts=5_000, max_attempts=9_000)

    assert rows(
        "SELECT scheduled_at BETWEEN now() + interval '23 h' AND now() + interval '28 h'"
        " FROM jobsd.scheduled_executions"
    ) == [True]


def test_of_a_job_that_is_not_kept_no_attempt_is_left(session: Session, rows: Rows) -> None:
    job, other = make_jobs(session, 2)
    row_id = worker_row(session)
    claim_id = claim(session, row_id, [job])
    session.connection.execute(
        "INSERT INTO jobsd.attempts (job_id, attempt, process, ended_at, error)"
        " SELECT id, 1, 'worker-1', now(), '{}' FROM jobsd.jobs"
    )

    recover(
        session,
        DeadProcess(row_id, "w", {}, succeeded=[InClaim(job, claim_id)], keep=False),
    )

    assert rows("SELECT id FROM jobsd.jobs") == [other]
    assert rows("SELECT job_id FROM jobsd.attempts") == [other]


@pytest.mark.parametrize(("key", "heard"), [(None, "ready"), ("key", "limited")])
def test_a_released_job_wakes_workers_that_can_claim_it(
    session: Session, target: Target, key: str | None, heard: str
) -> None:
    limit = None if key is None else 1
    (job,) = make_jobs(session, 1, concurrency_key=key, concurrency_limit=limit)
    row_id, sleeper = worker_row(session), worker_row(session, "worker-asleep")
    claim(session, row_id, [job])
    session.connection.execute("UPDATE jobsd.claims SET concurrency_key = %s", (key,))
    session.connection.execute(
        "INSERT INTO jobsd.sleepers (process_id, kind) VALUES (%s, 'worker')", (sleeper,)
    )
    with psycopg.connect(target.url, autocommit=True) as worker:
        worker.execute('LISTEN """jobsd"".wake"')

        recover(session, DeadProcess(row_id, "worker-dead", {}, release=True))

        sent = worker.notifies(timeout=5, stop_after=1)
        assert [each.payload for each in sent] == [f"{heard} default"]


def test_a_cancelled_job_of_a_dead_process_is_counted_as_cancelled(session: Session) -> None:
    (job,) = make_jobs(session, 1)
    row_id = worker_row(session)
    claim(session, row_id, [job])
    session.connection.execute("UPDATE jobsd.claims SET cancelled = %s", ([job],))
    own = Scoreboard().entries[0]
    peer = PeerProcess(row_id, "worker", "worker-dead", 1, "here", 0.0, "", "", "", 1)

    assert Recovery(session, own, keep_finished=True).recover_vanished(peer)

    counted = own.queue("default")
    assert (counted.outcome("discarded"), counted.outcome("cancelled")) == (1, 1)


def test_of_very_many_dead_processes_the_latest_are_remembered(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recoveries, "REMEMBERED_MAX", 2)
    recovery = Recovery(session, Scoreboard().entries[0], keep_finished=True)
    ids = [worker_row(session, f"worker-{number}") for number in range(3)]

    for number, row_id in enumerate(ids):
        name = f"worker-{number}"
        peer = PeerProcess(row_id, "worker", name, 1, "here", 0.0, "", "", "", 1)
        assert recovery.recover_vanished(peer)

    assert [recovery.is_dead(row_id) for row_id in ids] == [False, True, True]


# Journals.


def test_a_portion_of_a_journal_that_was_late_is_halved(
    session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = Gone(session, tmp_path, "finished")
    gone.write(gone.kept[0]._replace(result="x" * portions.BYTES_MAX, ttl_s=60.0))
    recovery = gone.recovery()
    before = recovery.portion.most

    def late(*_: object, **__: object) -> None:
        raise psycopg.errors.QueryCanceled("statement timeout")

    monkeypatch.setattr(journals, "_record", late)
    with pytest.raises(psycopg.errors.QueryCanceled):
        recovery.recover_journals([])

    assert recovery.portion.most <= before // 2


@pytest.mark.parametrize("left", [{"version": 9}, {"at": "noon"}])
def test_an_unknown_field_in_a_journal_stops_nothing(
    session: Session, tmp_path: Path, left: dict[str, object]
) -> None:
    gone = Gone(session, tmp_path, "finished")
    journal = Journal(gone.path)
    journal.append([{"left": left}])
    journal.close()

    assert gone.recovery().recover_journals([])

    assert places(session) == {gone.jobs[0]: "finished", gone.jobs[1]: "ready"}


def test_what_ran_in_a_dead_process_had_begun_before_its_journal_was_read(
    tmp_path: Path,
) -> None:
    dead = DeadProcess(7, "worker-1", {}, ages_s={3: 30.0})
    path = tmp_path / "worker-1.jsonl"
    journal = Journal(path)
    journal.append([{"process_id": 7}, {"left": {**asdict(dead), "at": time.time() - 600}}])
    journal.close()
    contents = read_journal(path)
    assert contents is not None

    ages_s = journals.dead_process(contents, {}, keep=True).ages_s

    assert ages_s == {3: pytest.approx(630, abs=60)}


def test_after_the_clock_was_put_back_no_job_of_a_journal_ends_in_the_future(
    session: Session, tmp_path: Path, rows: Rows
) -> None:
    gone = Gone(session, tmp_path, "finished")
    gone.write(gone.kept[0]._replace(ended_at=time.time() + 3_600))

    assert gone.recovery().recover_journals([])

    assert rows("SELECT finished_at <= now() FROM jobsd.jobs WHERE outcome = 'finished'") == [
        True
    ]
