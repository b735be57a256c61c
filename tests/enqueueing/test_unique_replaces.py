"""Enqueues that replace the same waiting jobs at once: none is refused."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, BrokenBarrierError
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from jobsd.enqueueing.client import enqueue_many
from jobsd.jobs.definition import job
from jobsd.jobs.limits import Limit
from jobsd.jobs.unique import Unique
from waiting import Stopwatch

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobsd.database.connection import Target
    from rows import Rows

AT_ONCE = 6
NEW_KEYS = 15
CALLS = 3
KEYS = 30
SLOW_S = 1.0
"""The server looks for a deadlock when a lock was waited for so long."""

_LATEST = Unique(key="n", until="started", on_conflict="replace")


@job(name="p.latest", unique=_LATEST)
def latest(n: int, by: int = 0) -> None: ...


@job(name="p.limited", unique=_LATEST, limits_concurrency=Limit(to=1, key="all"))
def limited(n: int, by: int = 0) -> None: ...


pytestmark = pytest.mark.usefixtures("default_client")


def _all_call(call: Callable[[int, Barrier], None]) -> None:
    """Let all programs call at once, again and again; end with the first that is refused."""
    together = Barrier(AT_ONCE)

    def guarded(by: int) -> None:
        try:
            call(by, together)
        except BaseException:
            together.abort()
            raise

    with ThreadPoolExecutor(AT_ONCE) as pool:
        calls = [pool.submit(guarded, by) for by in range(AT_ONCE)]
    refused = [error for each in calls if (error := each.exception())]
    assert [each for each in refused if not isinstance(each, BrokenBarrierError)] == []


def _alone(target: Target, made: Any, wait: str | None, n: int, by: int) -> None:
    del target
    made.using(wait=wait).enqueue(n, by)


def _bulk(target: Target, made: Any, wait: str | None, n: int, by: int) -> None:
    del target
    enqueue_many([made.using(wait=wait).with_args(n, by)])


def _within(target: Target, made: Any, wait: str | None, n: int, by: int) -> None:
    with psycopg.connect(target.url) as mine:
        made.using(connection=mine, wait=wait).enqueue(n, by)


def _sql(target: Target, made: Any, wait: str | None, n: int, by: int) -> None:
    with psycopg.connect(target.url) as mine:
        mine.execute(
            "SELECT jobsd.enqueue(%(name)s, jsonb_build_array(%(n)s::int, %(by)s::int),"
            " wait => %(wait)s::interval, unique_key => %(name)s || '/' || %(n)s,"
            " unique_until => 'started', unique_on_conflict => 'replace')",
            {"name": made.definition.name, "n": n, "by": by, "wait": wait},
        )


@pytest.mark.failure(
    "Six programs enqueue the first job of a key at once, each to replace those of the others",
    "None is refused or waits for a deadlock to be found; one job waits if it is for later",
)
@pytest.mark.parametrize("wait", ["1h", None], ids=["for later", "due"])
@pytest.mark.parametrize("enqueue", [_alone, _bulk, _within, _sql])
def test_of_a_burst_that_replaces_a_new_key_none_is_refused(
    target: Target, rows: Rows, enqueue: Callable[..., None], wait: str | None
) -> None:
    slowest = 0.0

    def call(by: int, together: Barrier) -> None:
        nonlocal slowest
        for n in range(NEW_KEYS):
            together.wait(60)
            watch = Stopwatch()
            enqueue(target, latest, wait, n, by)
            slowest = max(slowest, watch.took().least)

    _all_call(call)

    assert slowest < SLOW_S
    waiting = rows("SELECT count(*) FROM jobsd.jobs GROUP BY unique_key")
    assert len(waiting) == NEW_KEYS
    assert max(waiting) <= (1 if wait else 2)


@pytest.mark.failure(
    "Six programs replace the same jobs of one limit by `enqueue_many`, each in an order of its"
    " own",
    "No call is refused or waits for a deadlock to be found",
)
@pytest.mark.parametrize("made", [latest, limited])
@pytest.mark.parametrize("wait", ["1h", None], ids=["for later", "due"])
def test_bulks_that_replace_the_same_jobs_are_never_deadlocked(
    rows: Rows, made: Any, wait: str | None
) -> None:
    def call(by: int, together: Barrier) -> None:
        dice = random.Random(by)  # noqa: S311 - no secret
        for turn in range(CALLS):
            order = dice.sample(range(KEYS), KEYS)
            # Some put off what others have ready, so that these are handed over to.
            how = None if turn % 2 else wait
            together.wait(60)
            enqueue_many([made.using(wait=how).with_args(n, by) for n in order])

    _all_call(call)

    assert max(rows("SELECT count(*) FROM jobsd.jobs GROUP BY unique_key")) <= 2
