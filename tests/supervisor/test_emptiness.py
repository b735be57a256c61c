"""When nothing is left to do for a tree that is to end then."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from harness.monitor_options import make_options
from jobsd.acts import queues
from jobsd.configuration.options import WorkerOptions
from jobsd.jobs.definition import job
from jobsd.jobs.limits import Limit
from jobsd.scoreboard.scoreboard import Scoreboard
from jobsd.supervisor.monitor.emptiness import Emptiness

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobsd.database.connection import Session, Target
    from jobsd.jobs.enqueueable import FunctionJob

    IsLeft = Callable[..., bool]

pytestmark = pytest.mark.usefixtures("default_client")


@job(queue="mail")
def plain() -> None: ...


@job(queue="mail", limits_concurrency=Limit(to=1, key="all"))
def limited() -> None: ...


@pytest.fixture
def is_left(session: Session, target: Target) -> IsLeft:
    """Say whether anything is left for a worker of some queues."""

    def ask(*patterns: str, horizon_s: float = 0.0) -> bool:
        workers = (WorkerOptions(queues=("urgent",)), WorkerOptions(queues=patterns))
        options = replace(
            make_options(target), workers=workers, until_empty=True, horizon_s=horizon_s
        )
        return Emptiness(session, Scoreboard(), options).is_left()

    return ask


def test_an_empty_database_leaves_nothing(is_left: IsLeft) -> None:
    assert not is_left("*")


@pytest.mark.parametrize("body", [plain, limited])
def test_a_ready_job_is_left_only_for_selectors_of_its_queue(
    body: FunctionJob[[], None], is_left: IsLeft
) -> None:
    plain.using(queue="aaa").enqueue()
    body.enqueue()

    assert (is_left("mail"), is_left("ma*"), is_left("other")) == (True, True, False)


def test_a_job_that_was_set_aside_is_waited_for(is_left: IsLeft, session: Session) -> None:
    plain.enqueue()
    session.connection.execute(
        "WITH gone AS (DELETE FROM jobsd.ready_executions RETURNING *)"
        " INSERT INTO jobsd.parked_executions (job_id, position, priority, queue_name, lane)"
        " SELECT job_id, position, priority, queue_name, 'elsewhere' FROM gone"
    )

    assert (is_left("mail"), is_left("other")) == (True, False)


def test_a_paused_queue_is_not_waited_for(is_left: IsLeft) -> None:
    plain.enqueue()
    queues.pause("mail")

    assert not is_left("*")


def test_jobs_due_within_the_horizon_are_waited_for(is_left: IsLeft) -> None:
    plain.using(wait=600).enqueue()

    assert (is_left("*"), is_left("*", horizon_s=500), is_left("*", horizon_s=700)) == (
        False,
        False,
        True,
    )


def test_a_job_that_anybody_runs_is_waited_for(is_left: IsLeft, session: Session) -> None:
    enqueued = plain.enqueue()
    session.connection.execute("DELETE FROM jobsd.ready_executions")
    session.connection.execute(
        "INSERT INTO jobsd.claims (process_id, job_ids) VALUES (1, ARRAY[%s::bigint])",
        [enqueued.id],
    )

    assert (is_left("mail"), is_left("other")) == (True, False)
