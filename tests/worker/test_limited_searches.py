"""A worker claims limited jobs only where it has met a key with a free slot."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jobsd.clock import monotonic
from jobsd.jobs.definition import job
from jobsd.jobs.limits import Limit
from jobsd.states import series

from .bodies import noted

if TYPE_CHECKING:
    from .conftest import Driven, MakeWorker

_KEYS = series.KEYS_ANY.name


@job(limits_concurrency=Limit(key="searched"))
def one(number: int) -> None:
    noted.append(number)


@pytest.fixture
def idle(make_worker: MakeWorker) -> Driven:
    """A worker that has performed a limited job, and has met none since."""
    driven = make_worker()
    one.enqueue(1)
    driven.until(lambda: noted == [1])
    driven.until(driven.at_rest)
    _claim(driven)
    return driven


def _claim(driven: Driven) -> int:
    limited = driven.worker.claiming.limited
    return limited.claim(10, monotonic(), None, registered=True)


def test_it_only_meets_jobs_while_there_are_none(idle: Driven, asked: list[str]) -> None:
    asked.clear()

    _claim(idle)

    assert asked == [_KEYS]


def test_a_search_claims_new_jobs(idle: Driven, asked: list[str]) -> None:
    one.enqueue(2)
    asked.clear()

    claimed = _claim(idle)

    assert (claimed, asked) == (1, [_KEYS, "claim"])
    idle.until(lambda: noted == [1, 2])


def test_an_announced_job_is_searched_for_at_once(idle: Driven) -> None:
    search = idle.worker.claiming.limited.search
    assert search.due_at > monotonic()

    search.now()

    assert search.due_at <= monotonic()
