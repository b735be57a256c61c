"""A run whose answer was lost is enqueued once, and reported once, by whom has stored it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from jobsd.events.events import subscribe
from jobsd.jobs.limits import Limit
from jobsd.scheduler import run_enqueuer
from lost_answers import losing

from .conftest import SchedulerTestJob, hourly, task

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from harness.event_recorder import Emitted
    from jobsd.database.connection import Target
    from jobsd.events.events import Event
    from lost_answers import LostAnswers
    from rows import Rows

    from .conftest import Driven, MakeScheduler

JOBS = "SELECT job_id FROM jobsd.recurring_executions WHERE job_id IS NOT NULL ORDER BY 1"
HIDE = "UPDATE jobsd.recurring_executions SET stored_by = -stored_by RETURNING 1"
STORE = b"recurring_executions AS known"
HEARD = ("recurring.enqueued", "recurring.discarded", "recurring.taken")


class PickySchedulerJob(SchedulerTestJob):
    limits_concurrency = Limit(to=1, on_conflict="discard")


@pytest.fixture
def way(target: Target) -> Iterator[tuple[LostAnswers, Target]]:
    with losing(target) as way:
        yield way


def _lose(driven: Driven, way: LostAnswers, what: bytes = STORE) -> None:
    """Let the answer to the next runs be lost, as `run` would notice it."""
    driven.connect()
    way.lose(what)
    with pytest.raises(psycopg.OperationalError):
        driven.until(lambda: False)
    assert way.lost == 1
    driven.scheduler.disconnect()
    driven.connected = False


def _heard(emitted: Emitted) -> list[tuple[str, int | None]]:
    return [(name, facts.get("job_id")) for name, facts in emitted if name in HEARD]


@pytest.mark.parametrize(
    "settings",
    [
        lambda: {"overlap": "allow"},
        lambda: {"overlap": "skip"},
        lambda: {"phrase": hourly(), "run_at_start": True},
    ],
    ids=["allow", "skip", "at_start"],
)
@pytest.mark.failure(
    "The connection of a scheduler breaks between the commit of a run and its answer.",
    "The scheduler looks the run up once it has connected anew, and reports it once.",
)
def test_a_run_with_a_lost_answer_is_reported_once(
    make_scheduler: MakeScheduler,
    rows: Rows,
    way: tuple[LostAnswers, Target],
    emitted: Emitted,
    settings: Callable[[], dict[str, Any]],
) -> None:
    lossy, target = way
    driven = make_scheduler(task(**settings()), at=target)
    _lose(driven, lossy)
    unheard = [("recurring.enqueued", job) for job in rows(JOBS)]
    assert unheard
    assert _heard(emitted) == []

    driven.until(lambda: set(unheard) <= set(_heard(emitted)))
    driven.check()

    assert _heard(emitted) == [("recurring.enqueued", job) for job in rows(JOBS)]


@pytest.mark.parametrize("lives_on", [True, False])
def test_a_run_committed_late_is_reported_while_its_session_may_live(  # noqa: PLR0917 - a case
    make_scheduler: MakeScheduler,
    rows: Rows,
    way: tuple[LostAnswers, Target],
    emitted: Emitted,
    monkeypatch: pytest.MonkeyPatch,
    lives_on: bool,  # noqa: FBT001 - a case
) -> None:
    lossy, target = way
    if not lives_on:
        monkeypatch.setattr(run_enqueuer, "LIVES_ON_S", 0.0)
    driven = make_scheduler(task(phrase=hourly(), run_at_start=True), at=target)
    _lose(driven, lossy)
    (job,) = rows(JOBS)
    rows(HIDE)
    driven.check()
    # Tried again: whoever has stored it, an attempt of ours or another scheduler, is not known.
    assert _heard(emitted) == [("recurring.taken", None)]
    rows(HIDE)

    driven.check()
    driven.check()

    late = [("recurring.enqueued", job)] if lives_on else []
    assert _heard(emitted) == [("recurring.taken", None), *late]


@pytest.fixture
def refuses(rows: Rows) -> Iterator[None]:
    """The database refuses the runs of one task, so that all are stored one by one."""
    rows(
        "ALTER TABLE jobsd.recurring_executions ADD CONSTRAINT test_refuses"
        " CHECK (task_key <> 'broken')"
    )
    yield
    rows("ALTER TABLE jobsd.recurring_executions DROP CONSTRAINT test_refuses")


@pytest.mark.usefixtures("refuses")
@pytest.mark.parametrize("at_start", [False, True])
@pytest.mark.failure(
    "A run is refused, so that the others of its instant are stored one by one, and the"
    " connection breaks between two of them",
    "Each run that was stored before or after the break is reported once, as enqueued",
)
def test_runs_stored_one_by_one_before_an_outage_are_reported_once(
    make_scheduler: MakeScheduler,
    rows: Rows,
    way: tuple[LostAnswers, Target],
    emitted: Emitted,
    at_start: bool,  # noqa: FBT001 - a case
) -> None:
    lossy, target = way
    settings: dict[str, Any] = {"phrase": hourly(), "run_at_start": True} if at_start else {}
    left = {"above", "broken", "later"}
    driven = make_scheduler(*(task(key, **settings) for key in left), at=target)

    def lose_the_last(_: Event, facts: dict[str, Any]) -> None:
        left.discard(facts.get("task", ""))
        if len(left) == 1:
            lossy.lose(next(iter(left)).encode())

    end = subscribe(lose_the_last)
    with pytest.raises(psycopg.OperationalError):
        driven.until(lambda: False)
    end()
    assert lossy.lost == 1
    assert rows("SELECT count(*) FROM jobsd.recurring_executions") == [2]
    assert _heard(emitted), "what was stored before the outage"
    driven.scheduler.disconnect()
    driven.connected = False

    driven.check()
    driven.until(lambda: len(_heard(emitted)) >= len(rows(JOBS)))

    assert sorted(_heard(emitted)) == [("recurring.enqueued", job) for job in rows(JOBS)]


def test_a_run_of_another_scheduler_is_not_reported(
    make_scheduler: MakeScheduler,
    rows: Rows,
    way: tuple[LostAnswers, Target],
    emitted: Emitted,
) -> None:
    lossy, target = way
    once = task(phrase=hourly(), run_at_start=True)
    driven = make_scheduler(once, at=target)
    _lose(driven, lossy)
    rows("DELETE FROM jobsd.recurring_executions RETURNING 1")
    other = make_scheduler(once, scoreboard=driven.context.scoreboard)
    other.check()
    ((_, job),) = _heard(emitted)

    driven.check()

    assert _heard(emitted) == [("recurring.enqueued", job)]
    assert rows(JOBS) == [job]


def test_a_scheduler_that_stops_reports_before_it_goes(
    make_scheduler: MakeScheduler,
    rows: Rows,
    way: tuple[LostAnswers, Target],
    emitted: Emitted,
) -> None:
    lossy, target = way
    driven = make_scheduler(task(phrase=hourly(), run_at_start=True), at=target)
    _lose(driven, lossy)

    driven.end()

    assert _heard(emitted) == [("recurring.enqueued", job) for job in rows(JOBS)]
    assert rows("SELECT count(*) FROM jobsd.processes") == [0]


def test_a_run_that_was_discarded_unheard_is_reported_once(
    make_scheduler: MakeScheduler,
    rows: Rows,
    way: tuple[LostAnswers, Target],
    emitted: Emitted,
) -> None:
    lossy, target = way
    PickySchedulerJob.enqueue()
    once = task(class_name="PickySchedulerJob", phrase=hourly(), run_at_start=True)
    driven = make_scheduler(once, at=target)
    _lose(driven, lossy)

    driven.check()
    driven.check()

    assert rows("SELECT outcome FROM jobsd.recurring_executions") == ["discarded"]
    heard = [name for name, _ in _heard(emitted)]
    assert (heard.count("recurring.discarded"), "recurring.enqueued" in heard) == (1, False)
