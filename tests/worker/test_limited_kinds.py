"""Limited functions and limited coroutines: neither kind holds the other up."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import pytest

from jobsd.enqueueing import client
from jobsd.jobs.definition import job
from jobsd.jobs.limits import Limit
from jobsd.states.claims import array
from jobsd.states.series import Met, Stretch
from jobsd.worker.claiming import searches

from .bodies import gate, noted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .conftest import Count, Driven, MakeWorker


def _one() -> Limit:
    return Limit(to=1, key=lambda key: key)


async def _stay() -> None:
    while not gate.is_set():  # noqa: ASYNC110 - the gate is that of threads
        await asyncio.sleep(0.005)


@job(limits_concurrency=_one())
def function(key: str) -> None:
    noted.append(key)


@job(limits_concurrency=_one())
async def coroutine(key: str) -> None:
    noted.append(key)


@job
def hold(number: int) -> None:
    noted.append(number)
    assert gate.wait(120)


@job
async def ahold(number: int) -> None:
    noted.append(number)
    await _stay()


@job(limits_concurrency=Limit(to=3, key="same", group="threads"))
def beside(number: int) -> None:
    noted.append(number)
    assert gate.wait(120)


@job(limits_concurrency=Limit(to=3, key="same", group="loop"))
async def abeside(number: int) -> None:
    noted.append(number)
    await _stay()


@job(limits_concurrency=Limit(key="same", group="both"))
def shared(number: int) -> None:
    noted.append(number)


@job(limits_concurrency=Limit(key="same", group="both"))
async def ashared(number: int) -> None:
    noted.append(number)


@job
def step(number: int) -> None:
    noted.append(number)
    assert steps.acquire(timeout=120)


@job
async def aplain(key: str) -> None:
    noted.append(key)


steps = threading.Semaphore(0)
"""How many jobs of `step` may end."""
KINDS = {"threads": (hold, 1, function), "loop": (ahold, 4, coroutine)}
"""Where there is no room, by what, how many of it, and what can't start there."""
OTHER = {"threads": "loop", "loop": "threads"}


def _fill(make_worker: MakeWorker, where: str, queues: tuple[str, ...] = ("*",)) -> Driven:
    """Return a worker with no room in its threads, or in its loop."""
    holds, room, _ = KINDS[where]
    client.enqueue_many([holds.with_args(n) for n in range(room)])
    driven = make_worker(threads=1, coroutines=4, queues=queues)
    driven.until(lambda: len(noted) == room)
    noted.clear()
    return driven


@pytest.fixture(autouse=True)
def _open_at_the_end() -> Iterator[None]:
    yield
    gate.set()


@pytest.mark.parametrize("full", ["threads", "loop"])
@pytest.mark.parametrize("patterns", [("*",), ("default", "other*")])
def test_a_limited_job_starts_while_only_its_kind_has_room(
    make_worker: MakeWorker, full: str, patterns: tuple[str, ...]
) -> None:
    driven = _fill(make_worker, full, queues=patterns)

    KINDS[OTHER[full]][2].enqueue("k")

    driven.until(lambda: noted == ["k"])


@pytest.mark.parametrize("full", ["threads", "loop"])
@pytest.mark.parametrize("patterns", [("*",), ("default", "other*")])
def test_behind_5000_that_cannot_start_one_of_the_other_kind_does(
    make_worker: MakeWorker, count: Count, full: str, patterns: tuple[str, ...]
) -> None:
    """And none of the 5,000 is claimed."""
    driven = _fill(make_worker, full, queues=patterns)
    _, room, cannot = KINDS[full]
    client.enqueue_many([cannot.using(priority=n % 3).with_args(f"k{n}") for n in range(5000)])
    KINDS[OTHER[full]][2].using(priority=1).enqueue("behind")

    driven.until(lambda: noted == ["behind"])
    driven.until(lambda: count("claimed_executions") == room)

    assert count("blocked_executions") == 5000


@pytest.mark.parametrize("full", ["threads", "loop"])
def test_what_a_search_has_walked_over_starts_once_there_is_room(
    make_worker: MakeWorker, count: Count, full: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also what is committed, or is of the kind, behind where the search has come to."""
    monkeypatch.setattr(searches, "SEARCH_MIN", 5)
    monkeypatch.setattr(searches, "WALK_MAX", 20)
    driven = _fill(make_worker, full)
    cannot, can = KINDS[full][2], KINDS[OTHER[full]][2]
    client.enqueue_many([cannot.with_args(f"k{n}") for n in range(100)])
    can.using(priority=1).enqueue("first")
    driven.until(lambda: noted == ["first"])
    can.using(priority=-1).enqueue("second")
    can.enqueue("third")
    driven.until(lambda: sorted(noted, key=str) == ["first", "second", "third"])

    gate.set()

    driven.until(lambda: len(noted) == 103, 60)
    driven.until(lambda: not count("blocked_executions") and not count("claims"))


def test_jobs_of_a_key_that_both_kinds_share_run_in_their_order(
    make_worker: MakeWorker, count: Count
) -> None:
    """A coroutine waits for the function before it; what comes of other keys does not."""
    driven = _fill(make_worker, "threads")
    for number in range(4):
        (shared, ashared)[number % 2].enqueue(number)
    coroutine.enqueue("own")
    driven.until(lambda: noted == ["own"])
    driven.until(lambda: count("claimed_executions") == 1)

    gate.set()

    driven.until(lambda: noted == ["own", 0, 1, 2, 3])


@pytest.mark.parametrize("kind", ["threads", "loop"])
def test_a_job_takes_a_free_slot_beside_one_that_runs_here(
    make_worker: MakeWorker, count: Count, kind: str
) -> None:
    driven, made = (
        make_worker(threads=5, coroutines=5),
        beside if kind == "threads" else abeside,
    )
    for number in range(1, 4):
        made.enqueue(number)
        driven.until(lambda: noted == [*range(1, number + 1)])  # noqa: B023 - at once

    made.enqueue(4)
    driven.until(lambda: count("blocked_executions WHERE position IS NULL") == 1)
    assert noted == [1, 2, 3]
    gate.set()

    driven.until(lambda: noted == [1, 2, 3, 4])


def test_a_plain_coroutine_that_is_more_urgent_goes_before_a_limited_one(
    make_worker: MakeWorker,
) -> None:
    hold.enqueue(0)
    driven = make_worker(threads=1, coroutines=1, prefetch=0)
    driven.until(lambda: noted == [0])
    drafts = [coroutine.with_args(f"limited {n}") for n in range(3)]
    drafts += [aplain.using(priority=-1).with_args(f"plain {n}") for n in range(3)]

    client.enqueue_many(drafts)
    driven.until(lambda: len(noted) == 7)

    assert noted[1:4] == ["plain 0", "plain 1", "plain 2"]


@pytest.mark.parametrize("coroutines", [0, 4])
@pytest.mark.parametrize("prefetch", [0, 3])
def test_an_urgent_limited_function_starts_once_what_was_claimed_before_has(
    make_worker: MakeWorker, coroutines: int, prefetch: int
) -> None:
    client.enqueue_many([step.with_args(n) for n in range(20)])
    driven = make_worker(threads=2, coroutines=coroutines, prefetch=prefetch)
    driven.until(lambda: len(noted) == 2)
    function.using(priority=-1).enqueue("urgent")

    released = 0
    while "urgent" not in noted:
        begun = len(noted)
        assert begun <= 2 + prefetch + 2, "only one more for each thread goes before it"
        steps.release()
        released += 1
        driven.until(lambda begun=begun: len(noted) > begun)  # type: ignore[misc]

    steps.release(20 - released)
    driven.until(lambda: len(noted) == 21 and driven.at_rest())


def test_a_search_for_one_kind_goes_on_from_the_first_that_was_meant() -> None:
    search = searches.KindSearch()
    over = [Stretch(None, 0, 5, 9, None), Stretch(None, 1, 1, 9, 4), Stretch(None, 2, 1, 3, 2)]
    sweep = search.cursor.begin_claim()

    search.advance(Met(walked=17, stretches=over), sweep=sweep)

    after = search.cursor.segments([None])["after_positions"]
    assert after == array((-(2**63), 9, 3))
