"""A worker that has met no limited job asks whether there are any before it claims some."""

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

_CLAIM = series.CLAIM_ANY.name


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


def test_it_only_asks_while_there_are_none(idle: Driven, asked: list[str]) -> None:
    asked.clear()

    _claim(idle)

    assert asked == ["any"]


def test_a_search_claims_new_jobs(idle: Driven, asked: list[str]) -> None:
    one.enqueue(2)
    asked.clear()

    claimed = _claim(idle)

    assert (claimed, asked) == (1, ["any", _CLAIM])
    idle.until(lambda: noted == [1, 2])


def test_it_claims_at_once_where_some_are_announced(idle: Driven, asked: list[str]) -> None:
    one.enqueue(2)
    idle.worker.claiming.limited.search.now()
    asked.clear()

    claimed = _claim(idle)

    assert (claimed, asked) == (1, [_CLAIM])
    idle.until(lambda: noted == [1, 2])
