"""A job that is struck cleans up, whatever the shape of its code: on each version of Python."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

import asyncio
import contextlib
import sys
import threading
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from jobsd.errors import InterruptError
from jobsd.jobs.claimed_job import ClaimedJob
from jobsd.jobs.definition import job
from jobsd.jobs.interrupts import Interruptible
from jobsd.performing import raising
from jobsd.performing.calls import call
from jobsd.performing.pool import Pool
from jobsd.performing.raising import RAISING
from performing.posted import collect, post
from performing.shapes import AROUND, FRAMES, LOOPS, shape

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator

    from jobsd.scoreboard.entry import ScoreboardEntry

by_events = pytest.mark.skipif(not raising.NEEDED, reason="Python raises it at the right place")
noted: list[str] = []
ENDLESS = 10**12
PLACES_MAX = 500


class StopError(InterruptError):
    """What a test interrupts jobs with."""


@pytest.fixture
def pool(entry: ScoreboardEntry) -> Iterator[Pool]:
    noted.clear()
    made = Pool(2, entry, lambda: None)
    yield made
    made.close()
    for thread in made.threads:
        thread.join(60)


def claimed(job_id: int, name: str) -> ClaimedJob:
    return ClaimedJob(1, job_id, name, "[]", "mail", 0, 1, 0.0, None, 0, job_id)


@pytest.mark.failure(
    "A job is struck in a loop of any shape, within `finally`, `except`, `with` or a lock",
    "What cleans up runs, and the lock is free, on each supported version of Python",
)
@pytest.mark.parametrize("around", ["finally", "except", "with", "lock"])
@pytest.mark.parametrize("loop", LOOPS)
def test_a_job_interrupted_in_a_loop_runs_its_cleanup(
    loop: str, around: str, pool: Pool
) -> None:
    for job_id, frame in enumerate(FRAMES):
        entered, cleaned = threading.Event(), list[int]()
        lock, other = threading.Lock(), threading.Lock()
        names: dict[str, Any] = {
            "entered": entered.set,
            "cleaned": partial(cleaned.append, 1),
            "endless": lambda: True,
            "lock": lock,
            "other": other,
            "end": ENDLESS,
            "asyncio": asyncio,
        }
        made = job(name=f"shape-{job_id}")(shape(frame, around, loop, names))
        post(pool, claimed(job_id, made.definition.name))
        assert entered.wait(60)
        assert pool.interrupt(job_id, StopError)

        (run,) = collect(pool)

        assert isinstance(run.outcome.exception, StopError), frame
        assert bool(cleaned) == (around != "lock"), frame
        assert not lock.locked(), frame
        assert not other.locked(), frame


class Counting(Interruptible):
    """Raises an exception at one of the places at which an interrupt may come."""

    def __init__(self, place: int) -> None:
        super().__init__(thread_id=threading.get_ident())
        self.left = place

    def deliver(self) -> None:
        self.left -= 1
        if self.left == 0:
            raise StopError


class ByHand:
    """Runs a coroutine that awaits nothing: whatever `asyncio` does is not struck."""

    @staticmethod
    def run(coroutine: Coroutine[None, None, None]) -> None:
        with contextlib.suppress(StopIteration):
            coroutine.send(None)


class Met(NamedTuple):
    """What has happened to a job by the time that it has ended."""

    places: int
    """How many places it had not come to, at which it could have been struck."""
    entered: bool
    cleaned: bool
    locked: bool


@by_events
@pytest.mark.parametrize("around", AROUND)
@pytest.mark.parametrize("loop", LOOPS)
def test_at_each_place_at_which_an_interrupt_may_come_it_is_cleaned_up(
    loop: str, around: str
) -> None:
    for frame in FRAMES:
        place = 1
        while place < PLACES_MAX:
            met = strike_at(place, frame, around, loop)

            assert met.cleaned or not met.entered or around == "lock", (frame, place)
            assert not met.locked, (frame, place)
            if met.places:
                break
            place += 1
        assert 1 < place < PLACES_MAX - 1, frame


def strike_at(place: int, frame: str, around: str, loop: str) -> Met:
    entered, cleaned, turns = list[int](), list[int](), iter(range(3))
    lock, other = threading.Lock(), threading.Lock()
    thread = Counting(place)

    def enter() -> None:
        RAISING.watch(thread, sys._getframe(1))
        entered.append(1)

    names: dict[str, Any] = {
        "entered": enter,
        "cleaned": lambda: cleaned.append(1),
        "endless": lambda: next(turns, None) is not None,
        "lock": lock,
        "other": other,
        "end": 3,
        "asyncio": ByHand,
    }
    made = job(name="place")(shape(frame, around, loop, names))
    try:
        call(thread, claimed(1, "place"), made.definition, (), {})
    except StopError:
        pass
    finally:
        RAISING.leave(thread)
    return Met(
        max(0, thread.left), bool(entered), bool(cleaned), lock.locked() or other.locked()
    )
