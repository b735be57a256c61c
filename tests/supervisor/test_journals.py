"""Journals of dead processes are settled once, by the fence of their claims."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from harness.job_rows import failure, places, process_names
from harness.remains import ERROR, RAN_S, Gone, ends, lost
from jobsd.database import portions
from jobsd.database.connection import Session
from jobsd.processes import registry
from jobsd.processes.outcome_journal import Contents, journal_paths
from jobsd.scoreboard.scoreboard import Scoreboard
from jobsd.supervisor.recovery import journals
from jobsd.supervisor.recovery import recovery as recoveries
from jobsd.supervisor.recovery.peers import PeerProcess
from jobsd.supervisor.recovery.recovery import Recovery
from lost_answers import losing

if TYPE_CHECKING:
    from pathlib import Path

    from harness.event_recorder import Emitted
    from jobsd.database.connection import Target

EXPECTED = {
    "finished": "finished",
    "failed": "failed",
    "retried": "scheduled",
    "snoozed": "scheduled",
    "discarded": "discarded",
    "expired": "discarded",
}


def test_each_outcome_is_recorded_as_it_was_and_the_rest_goes_back(
    session: Session, tmp_path: Path, reported: Emitted
) -> None:
    gone = Gone(session, tmp_path, *EXPECTED)

    assert gone.recovery().recover_journals([])

    found = places(session)
    assert [found[job] for job in gone.jobs] == [*EXPECTED.values(), "ready"]
    rows = session.connection.execute(
        "SELECT attempts, extract(epoch FROM finished_at - started_at)::float8,"
        " extract(epoch FROM now() - finished_at) BETWEEN 59 AND 120"
        " FROM jobsd.jobs ORDER BY id"
    ).fetchall()
    assert [attempts for attempts, *_ in rows] == [1, 1, 1, 0, 1, 0, 0]
    assert rows[0][1:] == (pytest.approx(RAN_S, abs=1e-5), True)
    assert failure(session, gone.jobs[1])["message"] == "in its own words"
    names = ("finished", "failed", "retried", "snoozed", "discarded", "discarded", "released")
    expected = zip([f"job.{name}" for name in names], gone.jobs, strict=True)
    assert ends(reported) == sorted(expected)
    by_id = {facts["job_id"]: facts for _, facts in reported if "job_id" in facts}
    assert {facts["attempt"] for facts in by_id.values()} == {1}
    assert by_id[gone.jobs[0]]["duration"] == RAN_S
    assert by_id[gone.jobs[1]]["error"]["type"] == "ValueError"
    assert [by_id[job]["reason"] for job in gone.jobs[4:6]] == ["no longer wanted", "expired"]
    ((_, summary),) = [each for each in reported if each[0] == "process.recovered"]
    assert (summary["finished"], summary["discarded"], summary["released"]) == (1, 2, 1)
    assert journal_paths(tmp_path) == []
    assert process_names(session) == set()


def test_a_result_is_kept_with_its_job(session: Session, tmp_path: Path) -> None:
    gone = Gone(session, tmp_path, "finished")
    gone.write(gone.kept[0]._replace(result="[42]", ttl_s=60.0))

    gone.recovery().recover_journals([])

    row = session.connection.execute("SELECT job_id, state, result FROM jobsd.results")
    assert row.fetchall() == [(gone.jobs[0], "finished", [42])]


def test_where_finished_jobs_are_not_kept_they_are_deleted(
    session: Session, tmp_path: Path, reported: Emitted
) -> None:
    gone = Gone(session, tmp_path, "finished", "failed")

    gone.recovery(keep=False).recover_journals([])

    assert places(session) == {gone.jobs[1]: "failed", gone.jobs[2]: "ready"}
    assert ("job.finished", gone.jobs[0]) in ends(reported)


def test_many_outcomes_are_recorded_a_few_at_a_time(
    session: Session, tmp_path: Path, reported: Emitted
) -> None:
    gone = Gone(session, tmp_path, *["failed"] * 5)
    recovery = gone.recovery()
    recovery.portion.most = portions.ONE_BY_ONE
    large = json.dumps({**json.loads(ERROR), "stack": "x" * (portions.ONE_BY_ONE // 2 - 200)})
    gone.kept = [each._replace(error=large) for each in gone.kept]
    gone.write(*gone.kept)
    sizes = [len(batch) for batch in journals._batches(gone.kept, recovery.portion)]

    recovery.recover_journals([])

    assert sizes == [2, 2, 1]
    assert [*places(session).values()].count("failed") == 5
    assert len(ends(reported)) == 6


def test_outcomes_recovered_by_another_process_stand_and_are_reported_lost(
    session: Session, tmp_path: Path, reported: Emitted
) -> None:
    gone = Gone(session, tmp_path, "finished", "retried")
    peer = PeerProcess(gone.row_id, "worker", "worker-gone", 1, "here", 0.0, "", "", "", 2)
    elsewhere = Recovery(session, Scoreboard().entries[0], keep_finished=True)
    assert elsewhere.recover_vanished(peer)
    before = places(session)
    del reported[:]

    assert gone.recovery().recover_journals([])

    assert places(session) == before
    assert [before[job] for job in gone.jobs[:2]] == ["failed", "failed"]
    (facts,) = lost(reported)
    assert facts["outcomes"] == {"finished": [gone.jobs[0]], "retried": [gone.jobs[1]]}
    assert "recovered" in facts["error"]
    assert ends(reported) == []
    assert journal_paths(tmp_path) == []


def test_a_finished_job_that_another_process_has_recovered_is_lost_where_finished_jobs_go(
    session: Session, tmp_path: Path, reported: Emitted
) -> None:
    gone = Gone(session, tmp_path, "finished", "finished")
    peer = PeerProcess(gone.row_id, "worker", "worker-gone", 1, "here", 0.0, "", "", "", 2)
    elsewhere = Recovery(session, Scoreboard().entries[0], keep_finished=False)
    assert elsewhere.recover_vanished(peer)
    session.connection.execute("DELETE FROM jobsd.jobs WHERE id = %s", (gone.jobs[0],))

    assert gone.recovery(keep=False).recover_journals([])

    assert [facts["outcomes"] for facts in lost(reported)] == [{"finished": [gone.jobs[1]]}]


def test_outcomes_recorded_by_a_dead_process_itself_are_emitted(
    session: Session, tmp_path: Path, reported: Emitted
) -> None:
    gone = Gone(session, tmp_path, "finished", "failed", "snoozed", "retried", "discarded")
    gone.record(*gone.kept)

    gone.recovery().recover_journals([])

    names = ("finished", "failed", "snoozed", "retried", "discarded", "released")
    assert ends(reported) == sorted(
        (f"job.{name}", job_id) for name, job_id in zip(names, gone.jobs, strict=True)
    )
    assert lost(reported) == []


def test_nothing_is_settled_while_a_row_is_locked(
    session: Session, target: Target, tmp_path: Path, reported: Emitted
) -> None:
    gone = Gone(session, tmp_path, "finished")
    recovery = gone.recovery()
    with psycopg.connect(target.url) as holder:
        holder.execute("SELECT FROM jobsd.jobs WHERE id = %s FOR UPDATE", (gone.jobs[0],))

        assert not recovery.recover_journals([])

        assert {*places(session).values()} == {"claimed"}
        assert (reported, journal_paths(tmp_path)) == ([], [gone.path])
    assert recovery.recover_journals([])
    assert len(ends(reported)) == 2


def test_a_journal_that_two_monitors_read_is_emitted_once(
    session: Session, tmp_path: Path, reported: Emitted, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = Gone(session, tmp_path, "finished")
    first, second = gone.recovery(), gone.recovery()

    def settle_behind_the_first(*arguments: Any, **options: Any) -> journals.Settled:
        monkeypatch.undo()
        assert first.recover_journals([])
        return journals.settle(*arguments, **options)

    monkeypatch.setattr(recoveries, "settle", settle_behind_the_first)

    assert second.recover_journals([])
    assert len(ends(reported)) == 2


@pytest.mark.parametrize(("keep", "finished"), [(True, 1), (False, 0)])
@pytest.mark.failure(
    "A monitor is killed between the commit that settles a journal and the deletion of its"
    " file.",
    "The next one records nothing again, and reports nothing as lost. It emits the outcomes"
    " that the tables show; of a finished job whose row is deleted they show nothing.",
)
def test_a_monitor_killed_before_it_deletes_a_journal_doubles_and_loses_no_outcome(
    session: Session, tmp_path: Path, reported: Emitted, *, keep: bool, finished: int
) -> None:
    gone = Gone(session, tmp_path, "finished", "failed")

    def be_killed(_settled: journals.Settled) -> bool:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(journals.Settled, "delete", be_killed)
        with pytest.raises(KeyboardInterrupt):
            gone.recovery(keep=keep).recover_journals([])
    settled = places(session)
    assert (reported, journal_paths(tmp_path)) == ([], [gone.path])

    assert gone.recovery(keep=keep).recover_journals([])

    assert places(session) == settled
    expected = [("job.failed", gone.jobs[1]), ("job.finished", gone.jobs[0])]
    assert ends(reported) == expected[: 1 + finished]
    assert lost(reported) == []
    assert journal_paths(tmp_path) == []


@pytest.mark.parametrize("which", ["outcomes", "rest"])
@pytest.mark.failure(
    "The connection breaks between a commit of what a journal says and its answer.",
    "The next try finds in the tables what was recorded, and each outcome is emitted once.",
)
def test_a_lost_answer_loses_and_doubles_no_outcome(
    session: Session,
    target: Target,
    tmp_path: Path,
    reported: Emitted,
    which: str,
) -> None:
    gone = Gone(session, tmp_path, "finished", "failed")
    with losing(target) as (way, lossy):
        lossy_session = Session(lossy, "jobsd monitor")
        recovery = gone.recovery(lossy_session)

        def settle(*given: Any, **named: Any) -> journals.Settled:
            if which == "outcomes":
                way.lose(b"COMMIT")
            settled = journals.settle(*given, **named)
            way.lose(b"COMMIT")
            return settled

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(recoveries, "settle", settle)
            with pytest.raises(psycopg.OperationalError):
                recovery.recover_journals([])
        lossy_session.close()
        assert way.lost == 1

        recovery.report_committed()
        recovery.recover_journals([])
        recovery.report_committed()
        lossy_session.close()

    assert [name for name, _ in ends(reported)] == [
        "job.failed",
        "job.finished",
        "job.released",
    ]
    assert lost(reported) == []
    assert journal_paths(tmp_path) == []


def test_a_slot_goes_on_with_the_outcome(session: Session, tmp_path: Path) -> None:
    gone = Gone(session, tmp_path, "finished", concurrency_key="key", concurrency_limit=1)
    session.connection.execute(
        "UPDATE jobsd.claims SET concurrency_key = 'key', job_ids = %s", ([gone.jobs[0]],)
    )
    session.connection.execute(
        "INSERT INTO jobsd.blocked_executions"
        " (job_id, position, priority, queue_name, concurrency_key, concurrency_limit)"
        " VALUES (%s, NULL, 0, 'default', 'key', 1)",
        (gone.jobs[1],),
    )
    assert places(session)[gone.jobs[1]] == "blocked"

    gone.recovery().recover_journals([])

    assert places(session) == {gone.jobs[0]: "finished", gone.jobs[1]: "ready"}


def test_a_cancelled_job_is_discarded_unless_it_had_finished(
    session: Session, tmp_path: Path, reported: Emitted
) -> None:
    gone = Gone(session, tmp_path, "finished", "retried")
    session.connection.execute("UPDATE jobsd.claims SET cancelled = %s", (gone.jobs,))

    gone.recovery().recover_journals([])

    assert [*dict(sorted(places(session).items())).values()] == [
        "finished",
        "discarded",
        "discarded",
    ]
    reasons = [facts["reason"] for name, facts in reported if name == "job.discarded"]
    assert reasons == ["cancelled", "cancelled"]


@pytest.mark.parametrize(("committed", "end"), [(True, "job.finished"), (False, "job.failed")])
def test_a_job_that_completes_itself_has_the_outcome_of_its_transaction(
    session: Session, tmp_path: Path, reported: Emitted, *, committed: bool, end: str
) -> None:
    gone = Gone(session, tmp_path, "failed")
    job_id = gone.jobs[0]
    gone.write(gone.kept[0]._replace(completes=True))
    session.connection.execute("UPDATE jobsd.claims SET job_ids = %s", ([job_id],))
    if committed:
        session.connection.execute(
            "UPDATE jobsd.claims SET job_ids = '{}', completed = %s", (job_id,)
        )
        session.connection.execute(
            "UPDATE jobsd.jobs SET outcome = 'finished' WHERE id = %s", (job_id,)
        )

    gone.recovery().recover_journals([])

    assert places(session) == {job_id: end.removeprefix("job.")}
    assert (ends(reported), lost(reported)) == ([(end, job_id)], [])
    assert [facts.get("error") is None for name, facts in reported if name == end] == [
        committed
    ]
    assert session.connection.execute("SELECT FROM jobsd.claims").fetchall() == []


def test_a_journal_without_its_beginning_still_has_its_outcomes(
    session: Session, tmp_path: Path
) -> None:
    gone = Gone(session, tmp_path, "finished")
    gone.path.unlink()
    gone.write(*gone.kept, other=1)

    gone.recovery().recover_journals([])

    assert places(session) == {gone.jobs[0]: "finished", gone.jobs[1]: "claimed"}
    assert process_names(session) == {"worker-gone"}


def test_a_peer_of_this_machine_is_recovered_by_its_journal(
    session: Session, tmp_path: Path
) -> None:
    gone = Gone(session, tmp_path, "finished")
    here = registry.identity(1)["boot"]
    peer = PeerProcess(
        *(gone.row_id, "worker", "worker-gone", 1, "here", 0.0, here, "", "", 2),
        journals=tmp_path,
    )
    elsewhere = Recovery(session, Scoreboard().entries[0], keep_finished=True)

    assert elsewhere.recover_vanished(peer)

    assert places(session) == {gone.jobs[0]: "finished", gone.jobs[1]: "ready"}


def test_a_file_that_others_may_write_is_reported_and_left(
    session: Session, tmp_path: Path, recorder: Any
) -> None:
    gone = Gone(session, tmp_path, "finished")
    gone.path.chmod(0o666)
    warnings = recorder.facts("configuration.warning")
    recovery = gone.recovery()

    assert recovery.recover_journals([])
    assert recovery.recover_journals([])

    assert {*places(session).values()} == {"claimed"}
    assert [str(gone.path) in facts["warning"] for facts in warnings] == [True]


def test_the_start_of_a_job_in_a_journal_stays_where_it_was(tmp_path: Path) -> None:
    left: dict[str, Any] = {
        "process_id": 7,
        "process": "worker-gone",
        "error": {},
        "release": False,
        "running": [],
        "succeeded": [],
        "endings": [],
        "ages_s": {"5": 10.0},
        "at": time.time() - 1000,
    }

    dead = journals.dead_process(Contents(tmp_path, 7, "worker-gone", [], left), {}, keep=True)

    assert dead.ages_s[5] == pytest.approx(1010, abs=5)
