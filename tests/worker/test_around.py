"""What surrounds the jobs of a worker, and what a job carries from its enqueue on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from jobsd.jobs import middleware
from jobsd.jobs.current import CurrentJob, current_job
from jobsd.jobs.definition import job
from jobsd.jobs.limits import Limit
from jobsd.jobs.middleware import around_enqueue, around_job

from .bodies import noted

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from .conftest import Count, MakeWorker


@pytest.fixture(autouse=True)
def _nothing_around() -> Iterator[None]:
    yield
    middleware.JOBS.forget()
    middleware.ENQUEUES.forget()


@job(max_attempts=2, backoff=lambda _attempt: 0.0)
def stumble(number: int) -> None:
    if current_job().attempt == 1:
        raise ValueError(number)


@job(limits_concurrency=Limit(to=1, key="all"))
def alone(number: int) -> None: ...


def _note(job: CurrentJob) -> Generator[None, Any]:
    try:
        yield
    except ValueError:
        noted.append(("raised", job.arguments, job.context))
        raise
    noted.append(("done", job.arguments, job.context))


def test_a_job_has_its_context_at_every_attempt(make_worker: MakeWorker, count: Count) -> None:
    @around_enqueue
    def trace(job: CurrentJob) -> Generator[None, Any]:
        job.context["trace"] = job.arguments["number"]
        yield

    worker = make_worker()
    around_job(_note)
    stumble.enqueue(1)
    alone.enqueue(2)
    worker.until(lambda: count("jobs WHERE outcome = 'finished'") == 2)

    one, two = ({"number": n} for n in (1, 2))
    assert sorted(noted, key=str) == [
        ("done", one, {"trace": 1}),
        ("done", two, {"trace": 2}),
        ("raised", one, {"trace": 1}),
    ]


def test_an_error_raised_by_around_job_fails_the_job(
    make_worker: MakeWorker, count: Count
) -> None:
    @around_job
    def refuse(job: CurrentJob) -> Generator[None, Any]:
        if job.arguments:
            raise LookupError("no tenant")
        yield

    worker = make_worker()
    alone.enqueue(1)
    worker.until(lambda: count("failed_executions") == 1)

    assert count("failed_executions WHERE error ->> 'message' = 'no tenant'") == 1
