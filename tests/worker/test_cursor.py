"""A worker searches behind what it has taken, and still finds what lies before."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import psycopg
import pytest

from jobsd.enqueueing.client import enqueue_many
from jobsd.jobs.definition import job
from jobsd.worker.claiming.cursor import ClaimCursor, Gap
from jobsd.worker.constants import BREADTH, HEAD_SHARE, POLL_MAX_S, POLL_MIN_S
from waiting import Stopwatch

if TYPE_CHECKING:
    from jobsd.database.connection import Session, Target

    from .conftest import Count, MakeWorker

_LOWEST = -(2**63)
_FIRST, _BEYOND = (-(2**31), _LOWEST), (2**31, _LOWEST)
_ran: list[object] = []


@job
def note_place(value: object) -> None:
    _ran.append(value)


class Clock:
    """A clock that stands still unless it is put on."""

    now = 1000.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr("jobsd.worker.claiming.cursor.monotonic", lambda: made.now)
    return made


@pytest.fixture
def running_clock(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the clock of the cursor and of its turns go on by a millisecond at each reading.

    So every claim takes equally long for it, however busy the machine is.
    """

    def monotonic() -> float:
        clock.now += 0.001
        return clock.now

    monkeypatch.setattr("jobsd.worker.claiming.cursor.monotonic", monotonic)
    monkeypatch.setattr("jobsd.worker.turn.monotonic", monotonic)


def _segments(cursor: ClaimCursor, *queues: str | None) -> list[tuple[object, ...]]:
    names, *arrays = cursor.segments(queues).values()
    numbers = [map(int, text.strip("{}").split(",")) for text in arrays]
    return list(zip(names, *numbers, strict=True))


def test_without_a_memory_one_segment_holds_everything() -> None:
    assert _segments(ClaimCursor(), None) == [(None, *_FIRST, *_BEYOND)]


def test_of_very_many_priorities_only_the_last_are_remembered(clock: Clock) -> None:
    """What comes before them is searched at times, and by a sweep, as its cost allows."""
    cursor = ClaimCursor()
    cursor.begin_claim()
    clock.now += 0.01
    cursor.advance([(None, n, n + 7) for n in range(10 * BREADTH)], sweep=True)
    first = 9 * BREADTH
    behind = [(None, n, n + 7, n + 1, _LOWEST) for n in range(first, 10 * BREADTH - 1)]
    behind.append((None, 10 * BREADTH - 1, 10 * BREADTH + 6, *_BEYOND))
    head = (None, *_FIRST, first, _LOWEST)

    cursor.begin_claim()
    assert _segments(cursor, None) == behind
    clock.now += HEAD_SHARE * 0.01
    cursor.begin_claim()
    assert _segments(cursor, None) == [head, *behind]
    clock.now += POLL_MAX_S
    assert cursor.begin_claim()
    assert _segments(cursor, None) == [(None, *_FIRST, *_BEYOND)]


def test_a_gap_in_the_head_is_passed_over_with_it(clock: Clock) -> None:
    cursor = ClaimCursor()
    cursor.begin_claim()
    cursor.skip(Gap(None, 3, 0, 9))
    cursor.skip(Gap(None, BREADTH, 500, 900))
    clock.now += 0.01
    cursor.advance([(None, n, 7) for n in range(2 * BREADTH)], sweep=True)

    cursor.begin_claim()

    assert _segments(cursor, None)[:3] == [
        (None, BREADTH, 7, BREADTH, 501),
        (None, BREADTH, 900, BREADTH + 1, _LOWEST),
        (None, BREADTH + 1, 7, BREADTH + 2, _LOWEST),
    ]


@pytest.mark.usefixtures("running_clock")
def test_an_urgent_job_is_found_amid_very_many_priorities(make_worker: MakeWorker) -> None:
    enqueue_many(note_place.using(priority=n).with_args(n) for n in range(10 * BREADTH))
    driven = make_worker(threads=1, prefetch=20)
    driven.until(lambda: len(_ran) > 5 * BREADTH)

    note_place.using(priority=-1).enqueue("urgent")
    note_place.using(priority=BREADTH).enqueue("urgent")
    driven.until(lambda: len(_ran) == 10 * BREADTH + 2)

    assert "urgent" not in _ran[-BREADTH:]
    assert [each for each in _ran if each != "urgent"] == [*range(10 * BREADTH)]


def test_segments_cover_all_priorities_known_or_not() -> None:
    cursor = ClaimCursor()
    cursor.advance([(None, 0, 10), (None, 0, 12), (None, 5, 3)], sweep=False)

    assert _segments(cursor, None) == [
        (None, *_FIRST, 0, _LOWEST),
        (None, 0, 12, 5, _LOWEST),
        (None, 5, 3, *_BEYOND),
    ]


def test_each_queue_has_places_of_its_own() -> None:
    cursor = ClaimCursor()
    cursor.advance([("b", 1, 7)], sweep=False)

    assert _segments(cursor, "a", "b") == [
        ("a", *_FIRST, *_BEYOND),
        ("b", *_FIRST, 1, _LOWEST),
        ("b", 1, 7, *_BEYOND),
    ]


def test_a_gap_is_skipped_by_claims_and_by_sweeps(clock: Clock) -> None:
    cursor = ClaimCursor()
    cursor.begin_claim()
    cursor.advance([(None, 0, 10)], sweep=True)
    cursor.skip(Gap(None, 0, 10, 500))
    taken = _segments(cursor, None)
    clock.now += POLL_MAX_S

    assert cursor.begin_claim()
    assert taken == [(None, *_FIRST, 0, _LOWEST), (None, 0, 500, *_BEYOND)]
    assert _segments(cursor, None) == [(None, *_FIRST, 0, 11), (None, 0, 500, *_BEYOND)]


def test_positions_before_and_after_a_gap_are_remembered() -> None:
    cursor = ClaimCursor()
    cursor.skip(Gap("a", 1, 10, 500))
    cursor.advance([("a", 1, 4), ("a", 2, 9)], sweep=False)
    before = _segments(cursor, "a")
    cursor.advance([("a", 1, 600)], sweep=False)

    assert before == [
        ("a", *_FIRST, 1, _LOWEST),
        ("a", 1, 4, 1, 11),
        ("a", 1, 500, 2, _LOWEST),
        ("a", 2, 9, *_BEYOND),
    ]
    assert _segments(cursor, "a")[1] == ("a", 1, 600, 2, _LOWEST)


def test_gaps_of_one_priority_become_one() -> None:
    cursor = ClaimCursor()
    cursor.skip(Gap(None, 0, 10, 500))
    cursor.skip(Gap(None, 0, 520, 900))

    assert cursor.first_gap == Gap(None, 0, 10, 900)


def test_the_first_claim_is_a_sweep_and_those_behind_it_are_not() -> None:
    cursor = ClaimCursor()

    assert [cursor.begin_claim(), cursor.begin_claim(), cursor.begin_claim()] == [
        True,
        False,
        False,
    ]


def test_a_job_released_before_the_cursor_does_not_move_it_back() -> None:
    cursor = ClaimCursor()
    cursor.advance([(None, 0, 7)], sweep=False)

    cursor.advance([(None, 0, 5)], sweep=False)

    assert _segments(cursor, None) == [(None, *_FIRST, 0, _LOWEST), (None, 0, 7, *_BEYOND)]


def test_a_sweep_comes_every_five_seconds_though_no_claim_is_short(clock: Clock) -> None:
    cursor = ClaimCursor()
    cursor.begin_claim()
    cursor.advance([(None, 0, 1)], sweep=True)

    clock.now += POLL_MAX_S - 0.1
    assert not cursor.begin_claim()
    clock.now += 0.1
    assert cursor.begin_claim()


def test_a_short_claim_makes_the_next_one_a_sweep(clock: Clock) -> None:
    cursor = ClaimCursor()
    cursor.begin_claim()
    clock.now += 0.05
    cursor.advance([(None, 0, 1)], sweep=True)
    clock.now = cursor.sweep_at

    cursor.request_sweep()

    assert cursor.begin_claim()


def test_a_costly_sweep_is_not_repeated_at_once_but_within_five_seconds(
    clock: Clock,
) -> None:
    cursor = ClaimCursor()
    cursor.begin_claim()
    clock.now += 0.05
    cursor.advance([], sweep=True)
    cursor.request_sweep()

    assert not cursor.begin_claim()
    assert 0.4 < cursor.sweep_at - clock.now < POLL_MAX_S


def test_a_sweep_that_takes_no_longer_than_other_claims_is_repeated_at_once(
    clock: Clock,
) -> None:
    cursor = ClaimCursor()

    def claim(took_s: float) -> bool:
        sweep = cursor.begin_claim()
        clock.now += took_s
        cursor.advance([], sweep=sweep)
        cursor.request_sweep()
        return sweep

    assert [claim(0.05), claim(0.001)] == [True, False]
    clock.now = cursor.sweep_at

    assert [claim(0.001), claim(0.001), claim(0.003), claim(0.001)] == [True, True, True, False]


def test_a_sweep_that_takes_no_longer_than_a_commit_may_is_not_costly(clock: Clock) -> None:
    cursor = ClaimCursor()
    cursor.begin_claim()
    cursor.advance([(None, 0, 1)], sweep=False, took_s=POLL_MIN_S / 10)
    for at in range(2, 5):
        cursor.request_sweep()
        assert cursor.begin_claim()
        cursor.advance([(None, 0, at)], sweep=True, took_s=POLL_MIN_S)

    cursor.request_sweep()
    assert cursor.begin_claim()
    cursor.advance([(None, 0, 6)], sweep=True, took_s=POLL_MIN_S * 1.5)
    cursor.request_sweep()
    assert not cursor.begin_claim()
    clock.now += POLL_MIN_S * 5
    assert cursor.begin_claim()


def test_from_when_on_claims_begin_at_the_head_is_known_before(clock: Clock) -> None:
    cursor = ClaimCursor()
    assert cursor.at_head_from == 0.0

    cursor.begin_claim()
    cursor.advance([(None, 0, 1)], sweep=True, took_s=0.1)
    assert cursor.at_head_from == pytest.approx(clock.now + POLL_MAX_S)

    cursor.request_sweep()
    assert cursor.at_head_from == cursor.sweep_at > clock.now
    clock.now = cursor.at_head_from
    assert cursor.begin_claim()
    assert cursor.is_at_head


def test_past_a_gap_no_claim_begins_at_the_head_until_it_is_cleared() -> None:
    cursor = ClaimCursor()
    gap = Gap(None, 5, 0, 10)
    cursor.skip(gap)
    assert cursor.at_head_from == math.inf

    cursor.cleared(gap, 7)
    assert cursor.at_head_from == math.inf

    cursor.cleared(gap, None)
    assert cursor.is_at_head
    assert cursor.at_head_from == 0.0


def test_once_a_gap_is_cleared_the_next_claim_sweeps() -> None:
    cursor = ClaimCursor()
    gap = Gap(None, 5, 0, 10)
    cursor.skip(gap)
    assert cursor.begin_claim()
    cursor.advance([(None, 5, 20)], sweep=True, took_s=0.0)
    assert not cursor.begin_claim()

    cursor.cleared(gap, None)

    assert cursor.begin_claim()


@pytest.mark.failure(
    "A transaction commits a job late, while workers are saturated and an old snapshot "
    "keeps dead rows.",
    "The job is found within five seconds.",
)
def test_a_late_commit_is_found_while_the_worker_is_saturated_and_a_snapshot_is_held(
    make_worker: MakeWorker, target: Target, session: Session, count: Count
) -> None:
    driven = make_worker()
    with psycopg.connect(target.url) as holder, psycopg.connect(target.url) as late:
        holder.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        holder.execute("SELECT FROM jobsd.jobs")
        enqueue_many([note_place.with_args("late")], connection=late)
        enqueue_many(note_place.with_args(0) for _ in range(20_000))
        driven.until(lambda: len(_ran) > 5000)
        late.commit()
        watch = Stopwatch()

        def feed() -> bool:
            if count("ready_executions") < 5000:
                enqueue_many(note_place.with_args(0) for _ in range(5000))
            return "late" in _ran

        driven.until(feed, within_s=POLL_MAX_S + 5)

        assert watch.took() < POLL_MAX_S + 1
    session.close()
