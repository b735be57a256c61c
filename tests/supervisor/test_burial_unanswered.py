"""What became of the jobs of a dead process is told once, whatever becomes of the answers."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from jobsd.database.connection import Session
from jobsd.instruments import events
from jobsd.processes import registry
from jobsd.processes.board import Board
from jobsd.processes.slot import FREE
from jobsd.supervisor.monitor.burial import Burial
from jobsd.supervisor.monitor.look import Stranger
from lost_answers import losing
from monitored_tree.tree import claim, make_jobs, places, tree_on
from waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from jobsd.database.connection import Target
    from lost_answers import LostAnswers

Told = list[tuple[str, dict[str, Any]]]


class Dead:
    """A process that has claimed three jobs, and run two of them."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.jobs = make_jobs(session, 3)
        self.board = Board()
        self.slot = self.board.slots[1]
        self.slot.take("worker", "worker-dead")
        self.row_id = registry.register(
            session, kind="worker", name="worker-dead", supervisor_id=0, metadata={}
        )
        self.slot.set_row(self.row_id)
        claim_id = claim(session, self.row_id, self.jobs)
        self.slot.started(0, self.jobs[0], claim_id)
        self.slot.ended(self.jobs[1], claim_id)
        self.slot.bury(signal.SIGKILL, "signal", 0)

    @property
    def stranger(self) -> Stranger:
        """How another tree sees it."""
        ((heartbeat,),) = self.session.connection.execute(
            "SELECT extract(epoch FROM last_heartbeat_at)::float8 FROM jobsd.processes"
        ).fetchall()
        return Stranger(
            self.row_id, "worker", "worker-dead", 1, "here", heartbeat, "", "", "", 1
        )


def _bury(dead: Dead) -> Callable[[Burial], object]:
    return lambda burial: burial.bury(dead.slot)


def _vanish(dead: Dead) -> Callable[[Burial], object]:
    stranger = dead.stranger
    return lambda burial: burial.bury_vanished(stranger)


def _prune(dead: Dead) -> Callable[[Burial], object]:
    stranger = dead.stranger
    return lambda burial: burial.prune(stranger, 60.0)


def _take(dead: Dead) -> Callable[[Burial], object]:
    dead.session.connection.execute("DELETE FROM jobsd.processes")
    return lambda burial: burial.take_claims(dead.row_id, 1)


WAYS = [
    pytest.param(_bury, "process.buried", id="of the tree"),
    pytest.param(_vanish, "process.buried", id="vanished"),
    pytest.param(_prune, "process.pruned", id="pruned"),
    pytest.param(_take, "claims.taken", id="without a row"),
]


@pytest.fixture
def told() -> Iterator[Told]:
    """What is told of jobs and processes."""
    heard: Told = []
    names = [name for name in events.EVENTS if name.startswith(("job.", "process.", "claims."))]
    stop = events.subscribe(lambda event, facts: heard.append((event.name, facts)), names=names)
    yield heard
    stop()


@pytest.fixture
def way(target: Target) -> Iterator[tuple[LostAnswers, Session]]:
    """Lead a monitor to the server on a way where answers may be lost."""
    with losing(target) as (way, lossy):
        session = Session(lossy, "jobsd monitor")
        yield way, session
        session.close()


def _counted(dead: Dead) -> dict[str, int]:
    counters = dead.board.slots[0].queue("default")
    return {name: counters.outcome(name) for name in ("finished", "failed", "released")}


@pytest.mark.parametrize(("act", "event"), WAYS)
@pytest.mark.failure(
    "The connection breaks between the commit of a burial and its answer.",
    "The monitor asks the server what became of it, and tells of each job once.",
)
def test_a_burial_whose_answer_was_lost_is_told_once(
    act: Callable[[Dead], Callable[[Burial], object]],
    event: str,
    way: tuple[LostAnswers, Session],
    session: Session,
    told: Told,
) -> None:
    lossy, lossy_session = way
    dead = Dead(session)
    burial = Burial(lossy_session, dead.board.slots[0], keep_finished=True)
    bury = act(dead)
    lossy.lose(b"COMMIT")
    with pytest.raises(psycopg.OperationalError):
        bury(burial)
    lossy_session.close()
    assert (lossy.lost, told) == (1, [])
    assert "claimed" not in places(session).values()

    burial.catch_up()
    bury(burial)
    burial.catch_up()

    jobs = sorted((facts["job_id"], name) for name, facts in told if "job_id" in facts)
    assert [job_id for job_id, _ in jobs] == dead.jobs
    ((_, summary),) = [each for each in told if each[0] == event]
    counted = _counted(dead)
    assert sum(counted.values()) == 3
    assert {name: summary[name] for name in counted} == counted
    # It was the first attempt of each, or is to be, as the worker would have told it.
    assert {facts["attempt"] for _, facts in told if "job_id" in facts} == {1}


@pytest.mark.parametrize(("act", "event"), WAYS)
def test_a_burial_that_was_not_committed_is_done_and_told_again(
    act: Callable[[Dead], Callable[[Burial], object]],
    event: str,
    way: tuple[LostAnswers, Session],
    session: Session,
    told: Told,
) -> None:
    _, lossy_session = way
    dead = Dead(session)
    burial = Burial(lossy_session, dead.board.slots[0], keep_finished=True)
    bury = act(dead)
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
            bury(burial)
    finally:
        session.connection.execute("DROP FUNCTION jobsd.refuse() CASCADE")
    lossy_session.close()

    burial.catch_up()
    assert told == []
    bury(burial)

    assert len([name for name, facts in told if "job_id" in facts]) == 3
    assert [name for name, _ in told].count(event) == 1
    assert sum(_counted(dead).values()) == 3


def test_what_a_standby_never_heard_of_is_told_by_the_burial_that_it_has(
    way: tuple[LostAnswers, Session], session: Session, told: Told
) -> None:
    lossy, lossy_session = way
    dead = Dead(session)
    burial = Burial(lossy_session, dead.board.slots[0], keep_finished=True)
    lossy.lose(b"COMMIT")
    with pytest.raises(psycopg.OperationalError):
        burial.bury(dead.slot)
    lossy_session.close()
    # The number of the burial is now that of another transaction: the claims are there again.
    session.connection.execute("UPDATE jobsd.jobs SET outcome = NULL, finished_at = NULL")
    session.connection.execute("DELETE FROM jobsd.ready_executions")
    session.connection.execute("DELETE FROM jobsd.failed_executions")
    claim(session, dead.row_id, dead.jobs)

    burial.catch_up()

    assert told == []
    burial.bury(dead.slot)
    assert len([name for name, facts in told if "job_id" in facts]) == 3


def test_a_monitor_tells_of_it_by_itself(target: Target, session: Session) -> None:
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
        assert [told["job_id"] for told in tree.told("job.failed")] == [job]
        assert [told["failed"] for told in tree.told("process.buried")] == [1]
