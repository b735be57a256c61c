"""A parked job is a ready one, whoever looks: at queues, at jobs, at limits, at figures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from enqueueing.placed import enqueue
from jobsd.acts import discards, inspect, listing, queues
from jobsd.operations.gauges import database_figures
from jobsd.operations.queues import asked, by_queue
from jobsd.processes import registry as processes
from jobsd.states import parked
from waiting import Stopwatch

if TYPE_CHECKING:
    from jobsd.database.connection import Session

PARK = """
WITH gone AS (DELETE FROM jobsd.ready_executions WHERE job_id = ANY (%s) RETURNING *)
INSERT INTO jobsd.parked_executions
SELECT job_id, position, gone.priority, gone.queue_name, jobsd.lane_of(class_name)
FROM gone JOIN jobsd.jobs ON id = job_id
"""
NOTE = """
INSERT INTO jobsd.lanes (queue_name, lane)
SELECT DISTINCT queue_name, lane FROM jobsd.parked_executions
ON CONFLICT DO NOTHING
"""


pytestmark = pytest.mark.usefixtures("default_client")


def _parked(session: Session, *priorities: int) -> list[int]:
    ids = [enqueue(priority=priority) for priority in priorities]
    session.connection.execute(PARK, (ids,))
    session.connection.execute(NOTE.encode())
    return ids


def test_queues_count_parked_jobs_and_their_age(session: Session) -> None:
    _parked(session, 0, 5)
    session.connection.execute("UPDATE jobsd.jobs SET created_at = now() - interval '1 hour'")
    enqueue()

    assert queues.size("mail", session=session) == 3
    assert 3599 < queues.latency("mail", session=session) < 3700
    assert queues.is_known("mail", session=session)


def test_a_queue_that_is_cleared_has_no_parked_jobs(session: Session) -> None:
    _parked(session, 0, 5)
    enqueue()

    assert queues.clear("mail", session=session) == 3
    assert queues.size("mail", session=session) == 0


def test_figures_count_parked_jobs_as_ready_and_as_unknown(
    session: Session,
) -> None:
    [first, _] = _parked(session, 0, 5)
    session.connection.execute(
        "UPDATE jobsd.jobs SET created_at = now() - interval '1 hour' WHERE id = %s", (first,)
    )
    enqueue()
    name = inspect.find(session, first).job.class_name
    parked.note(session, [], [("mail", parked.lane_of(name)), ("mail", "without jobs")])
    session.connection.execute(
        "UPDATE jobsd.lanes SET unknown_since = now() - interval '1 minute'"
    )

    figures = database_figures(session)

    assert figures.depths["mail"]["ready"] == 3
    assert 3599 < figures.latencies_s["mail"] < 3700
    assert figures.unknown_jobs == {"mail": 2}
    assert 59 < figures.unknown_for_s["mail"] < 120


def test_ready_jobs_are_as_many_in_one_pass_as_queue_by_queue(session: Session) -> None:
    # The server knows of no rows, whatever other tests have left, and counts none by itself.
    tables = "jobsd.ready_executions, jobsd.parked_executions, jobsd.blocked_executions"
    session.connection.execute(f"TRUNCATE {tables}".encode())
    with session.connection.transaction():
        session.connection.execute(
            f"LOCK TABLE {tables} IN SHARE UPDATE EXCLUSIVE MODE".encode()
        )
        _parked(session, 0, 5)
        for queue in ("mail", "mail", "night"):
            enqueue(queue=queue)
        enqueue(queue="full", key="a key")
        jobs = {"mail": 4, "night": 1, "full": 1}

        # So one pass over all of them seems short.
        assert (_ready(session, 0), _ready(session, 1)) == ((jobs, 0), (jobs, 3))

        session.connection.execute("ANALYZE jobsd.ready_executions")
        assert (_ready(session, 3), _ready(session, 4)) == ((jobs, 0), (jobs, 3))


def _ready(session: Session, together_max: int) -> tuple[dict[str, int], int]:
    """Return the ready jobs by queue, and how many rows came of one pass."""
    wanted = asked(1000, together_max=together_max)
    fetched: list[list[tuple[Any, ...]]] = session.fetch_together(list(wanted.values()))
    read = dict(zip(wanted, fetched, strict=True))
    counts, _ = by_queue(read)
    ready = {queue: states["ready"] for queue, states in counts.items()}
    return ready, len(read.get("together", ()))


def test_a_parked_job_is_shown_and_listed_as_ready_behind_its_lane(session: Session) -> None:
    [later, first] = _parked(session, 5, 0)
    common = enqueue(priority=1)

    found = inspect.find(session, later)

    assert (found.job.state, inspect.ahead(session, found)) == ("ready", 2)
    assert inspect.ahead(session, inspect.find(session, common)) == 0
    for state in ("ready", None):
        listed = listing.listed(session, listing.Filter(state), 10)
        assert [(job.id, job.state) for job in listed.jobs] == [
            (job_id, "ready") for job_id in (common, first, later)
        ]


def test_a_parked_job_can_be_discarded(session: Session) -> None:
    [job_id] = _parked(session, 0)

    discards.discard(job_id, session=session)

    assert inspect.find(session, job_id).job.state == "discarded"
    assert parked.waiting(session) == []


def test_a_parked_job_is_not_lost(session: Session) -> None:
    job_ids = _parked(session, 0)

    assert inspect.find(session, job_ids[0]).job.state == "ready"
    assert [*listing.ids(session, listing.Filter("lost"))] == []


def test_lanes_are_found_by_queue_and_class(session: Session) -> None:
    for queue, name in (("b", "x"), ("a", "y"), ("a", "x"), ("a", "x")):
        ((job_id,),) = session.connection.execute(
            "SELECT jobsd.enqueue(%s, queue => %s)", (name, queue)
        ).fetchall()
        session.connection.execute(PARK, ([job_id],))
    session.connection.execute(NOTE.encode())
    session.connection.execute("INSERT INTO jobsd.lanes VALUES ('c', 'x'), ('a', 'z')")

    found = parked.note(session, ["b", "c"], [("d", "new")])

    assert [*found] == [("b", "x"), ("d", "new")]
    assert parked.waiting(session) == ["a", "b"]


def test_a_lane_with_jobs_is_never_forgotten(session: Session) -> None:
    _parked(session, 0)
    session.connection.execute("INSERT INTO jobsd.lanes VALUES ('mail', 'empty')")
    session.connection.execute("UPDATE jobsd.lanes SET checked_at = now() - interval '1 year'")

    parked.note(session, ["other"], [])

    rows = session.connection.execute("SELECT lane <> 'empty' FROM jobsd.lanes").fetchall()
    assert rows == [(True,)]


@pytest.mark.parametrize("name", ["x", "é" * 250, "é" * 251, "\N{GRINNING FACE}" * 1000])
def test_programs_and_the_server_agree_on_the_lane_of_a_class(
    session: Session, name: str
) -> None:
    row = session.connection.execute("SELECT jobsd.lane_of(%s)", (name,)).fetchone()

    assert row == (parked.lane_of(name),)
    assert len(parked.lane_of(name).encode()) <= 500


def test_many_classes_of_many_workers_are_searched_at_once(
    session: Session,
) -> None:
    names = [f"application.jobs.module_{n % 40}.job_{n}" for n in range(1000)]
    for number in range(50):
        worker = processes.register(
            session, kind="worker", name=f"w{number}", supervisor_id=0, metadata={}
        )
        parked.publish(session, worker, ["*"], names)
    pairs = [("mail", name) for name in [*names[:50], "unknown"]]

    watch = Stopwatch()
    ages_s = parked.note(session, [], pairs)

    assert not watch.over(2.0)
    assert [lane for lane, age_s in ages_s.items() if age_s is not None] == [
        ("mail", "unknown")
    ]


@pytest.mark.parametrize(
    ("queues", "counts"), [("mail", False), ("m*", False), ("other", True)]
)
def test_unknown_time_does_not_run_while_a_worker_without_definitions_serves_the_queue(
    session: Session, queues: str, *, counts: bool
) -> None:
    session.connection.execute(
        "INSERT INTO jobsd.processes (kind, name, pid, hostname, metadata)"
        " VALUES ('worker', 'old', 1, 'h', jsonb_build_object('queues', %s::text))",
        (queues,),
    )

    aged = parked.note(session, [], [("mail", "a.class")])

    assert [age is not None for age in aged.values()] == [counts]
