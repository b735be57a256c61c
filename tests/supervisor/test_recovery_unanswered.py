"""The outcomes of a dead process's jobs are reported once, whichever answers are lost."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import psycopg
import pytest

from harness.event_recorder import Emitted, names
from harness.job_rows import claim, make_jobs, places
from harness.played_tree import tree_on
from jobsd.database.connection import Session
from jobsd.processes import registry
from jobsd.scoreboard.entry import FREE
from jobsd.scoreboard.scoreboard import Scoreboard
from jobsd.supervisor.recovery.peers import PeerProcess
from jobsd.supervisor.recovery.recovery import Recovery
from lost_answers import losing
from waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from jobsd.database.connection import Target
    from lost_answers import LostAnswers


class Dead:
    """A process that has claimed three jobs, and run two of them."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.jobs = make_jobs(session, 3)
        self.scoreboard = Scoreboard()
        self.entry = self.scoreboard.entries[1]
        self.entry.take("worker", "worker-dead")
        self.row_id = registry.register(
            session, kind="worker", name="worker-dead", supervisor_id=0, metadata={}
        )
        self.entry.row_id = self.row_id
        claim_id = claim(session, self.row_id, self.jobs)
        self.entry.started(0, self.jobs[0], claim_id)
        self.entry.ended(self.jobs[1], claim_id)
        self.entry.record_exit(signal.SIGKILL, "signal", 0)

    @property
    def peer(self) -> PeerProcess:
        """How another tree sees it."""
        ((heartbeat,),) = self.session.connection.execute(
            "SELECT extract(epoch FROM last_heartbeat_at)::float8 FROM jobsd.processes"
        ).fetchall()
        return PeerProcess(
            self.row_id, "worker", "worker-dead", 1, "here", heartbeat, "", "", "", 1
        )


def _recover(dead: Dead) -> Callable[[Recovery], object]:
    return lambda recovery: recovery.recover(dead.entry)


def _vanish(dead: Dead) -> Callable[[Recovery], object]:
    peer = dead.peer
    return lambda recovery: recovery.recover_vanished(peer)


def _prune(dead: Dead) -> Callable[[Recovery], object]:
    peer = dead.peer
    return lambda recovery: recovery.prune(peer, 60.0)


def _take(dead: Dead) -> Callable[[Recovery], object]:
    dead.session.connection.execute("DELETE FROM jobsd.processes")
    return lambda recovery: recovery.take_claims(dead.row_id, 1)


WAYS = [
    pytest.param(_recover, "process.recovered", id="of the tree"),
    pytest.param(_vanish, "process.recovered", id="vanished"),
    pytest.param(_prune, "process.pruned", id="pruned"),
    pytest.param(_take, "claims.recovered", id="without a row"),
]


@pytest.fixture
def way(target: Target) -> Iterator[tuple[LostAnswers, Session]]:
    """Lead a monitor to the server on a way where answers may be lost."""
    with losing(target) as (way, lossy):
        session = Session(lossy, "jobsd monitor")
        yield way, session
        session.close()


def _counted(dead: Dead) -> dict[str, int]:
    counters = dead.scoreboard.entries[0].queue("default")
    return {name: counters.outcome(name) for name in ("finished", "failed", "released")}


@pytest.mark.parametrize(("act", "event"), WAYS)
@pytest.mark.failure(
    "The connection breaks between the commit of a recovery and its answer.",
    "The monitor asks the server what became of it, and reports each job once.",
)
def test_a_recovery_with_a_lost_answer_is_reported_once(
    act: Callable[[Dead], Callable[[Recovery], object]],
    event: str,
    way: tuple[LostAnswers, Session],
    session: Session,
    reported: Emitted,
) -> None:
    lossy, lossy_session = way
    dead = Dead(session)
    recovery = Recovery(lossy_session, dead.scoreboard.entries[0], keep_finished=True)
    recover = act(dead)
    lossy.lose(b"COMMIT")
    with pytest.raises(psycopg.OperationalError):
        recover(recovery)
    lossy_session.close()
    assert (lossy.lost, reported) == (1, [])
    assert "claimed" not in places(session).values()

    recovery.report_committed()
    recover(recovery)
    recovery.report_committed()

    jobs = sorted((facts["job_id"], name) for name, facts in reported if "job_id" in facts)
    assert [job_id for job_id, _ in jobs] == dead.jobs
    ((_, summary),) = [each for each in reported if each[0] == event]
    counted = _counted(dead)
    assert sum(counted.values()) == 3
    own = dead.scoreboard.entries[0]
    assert own.prunes == (event == "process.pruned")
    assert sum(sum(counts.values()) for _, counts in own.failures()) == counted["failed"]
    assert {name: summary[name] for name in counted} == counted
    # It was the first attempt of each, or is to be, as the worker would have reported it.
    assert {facts["attempt"] for _, facts in reported if "job_id" in facts} == {1}


@pytest.mark.parametrize(("act", "event"), WAYS)
def test_a_recovery_that_was_not_committed_is_done_and_reported_again(
    act: Callable[[Dead], Callable[[Recovery], object]],
    event: str,
    way: tuple[LostAnswers, Session],
    session: Session,
    reported: Emitted,
) -> None:
    _, lossy_session = way
    dead = Dead(session)
    recovery = Recovery(lossy_session, dead.scoreboard.entries[0], keep_finished=True)
    recover = act(dead)
    # The server refuses the commit itself.
    for statement in (
        (
            "CREATE FUNCTION jobsd.refuse() RETURNS trigger LANGUAGE plpgsql AS "
            "$$BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END$$"
        ),
        (
            "CREATE CONSTRAINT TRIGGER refuse AFTER DELETE ON jobsd.claims"
            " DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION jobsd.refuse()"
        ),
    ):
        session.connection.execute(statement.encode())
    try:
        with pytest.raises(psycopg.OperationalError):
            recover(recovery)
    finally:
        session.connection.execute("DROP FUNCTION jobsd.refuse() CASCADE")
    lossy_session.close()

    recovery.report_committed()
    assert reported == []
    recover(recovery)

    assert len([name for name, facts in reported if "job_id" in facts]) == 3
    assert names(reported).count(event) == 1
    assert sum(_counted(dead).values()) == 3


def test_a_recovery_never_received_by_a_standby_is_reported_by_the_next_one(
    way: tuple[LostAnswers, Session], session: Session, reported: Emitted
) -> None:
    lossy, lossy_session = way
    dead = Dead(session)
    recovery = Recovery(lossy_session, dead.scoreboard.entries[0], keep_finished=True)
    lossy.lose(b"COMMIT")
    with pytest.raises(psycopg.OperationalError):
        recovery.recover(dead.entry)
    lossy_session.close()
    # The number of the recovery is now that of another transaction: the claims are there again.
    session.connection.execute("UPDATE jobsd.jobs SET outcome = NULL, finished_at = NULL")
    session.connection.execute("DELETE FROM jobsd.ready_executions")
    session.connection.execute("DELETE FROM jobsd.failed_executions")
    claim(session, dead.row_id, dead.jobs)

    recovery.report_committed()

    assert reported == []
    recovery.recover(dead.entry)
    assert len([name for name, facts in reported if "job_id" in facts]) == 3


def test_a_monitor_reports_it_by_itself(target: Target, session: Session) -> None:
    (job,) = make_jobs(session, 1)
    with losing(target) as (way, lossy), tree_on(lossy) as tree:
        monitor = tree.start_monitor()
        worker = tree.start_worker(job, running=(job,))
        way.lose(b"COMMIT")
        tree.kill(worker)
        tree.reap(worker)
        tree.wake(monitor)
        wait_until(lambda: worker.state == FREE)

        assert way.lost == 1
        assert [reported["job_id"] for reported in tree.events("job.failed")] == [job]
        assert [reported["failed"] for reported in tree.events("process.recovered")] == [1]
