"""Workers of one tree pass over what the others claim, and leave nothing behind by it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from jobsd.clock import monotonic
from jobsd.enqueueing.client import enqueue_many
from jobsd.jobs.definition import job
from jobsd.processes.idle_registration import IdleRegistration
from jobsd.scoreboard.claim_mark import ALL_QUEUES, ClaimMark, read_mark, write_mark
from jobsd.worker.claiming import cursor as cursors
from jobsd.worker.claiming.cursor import ClaimCursor, Gap
from jobsd.worker.claiming.marks import ClaimMarks
from waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from jobsd.scoreboard.entry import ScoreboardEntry
    from jobsd.scoreboard.scoreboard import Scoreboard

    from .conftest import MakeWorker

Flow = tuple[str | None, int]
_ran: list[int] = []


@job
def note_turn(turn: int) -> None:
    _ran.append(turn)


@pytest.fixture
def take_entry(scoreboard: Scoreboard) -> Callable[[], ScoreboardEntry]:
    """Take an entry for one more worker of the tree."""

    def take() -> ScoreboardEntry:
        entry = scoreboard.free_entry()
        assert entry is not None
        entry.take("worker", f"worker-{entry.index}")
        return entry

    return take


def _numbers(array: str) -> list[int]:
    return [*map(int, array.strip("{}").split(","))]


class Peer:
    """One worker's cursor, which has claimed the job at a position."""

    def __init__(
        self, scoreboard: Scoreboard, entry: ScoreboardEntry, at: int, flow: Flow = (None, 0)
    ) -> None:
        self.entry, self.flow = entry, flow
        self.cursor = ClaimCursor(ClaimMarks(scoreboard, entry))
        self.cursor.begin_claim()
        self.cursor.advance([(*flow, at)], sweep=True)

    def begin(self, limit: int = 5) -> int:
        """Begin a claim; return after which position it searches the priority."""
        return self.search(limit)[0][0]

    def search(self, limit: int = 5) -> list[tuple[int, int | None]]:
        """Begin a claim; return the parts of the priority that it searches.

        Each is after a position, and up to one, or to the end.
        """
        self.cursor.begin_claim()
        self.cursor.follow(limit)
        queue, priority = self.flow
        _, *bounds = self.cursor.segments([queue]).values()
        return [
            (max(0, after), upto - 1 if below == priority and upto > 0 else None)
            for begin, after, below, upto in zip(*map(_numbers, bounds), strict=True)
            if begin == priority or (below == priority and upto > 0)
        ]

    def end(self, *positions: int) -> None:
        """Take in the positions of the jobs that the claim has brought."""
        self.cursor.advance([(*self.flow, each) for each in positions], sweep=False)


@pytest.fixture
def peer(
    scoreboard: Scoreboard, take_entry: Callable[[], ScoreboardEntry]
) -> Callable[..., Peer]:
    """Make a worker of the tree, by the position of its last job and that job's flow."""

    def make(at: int, flow: Flow = (None, 0)) -> Peer:
        return Peer(scoreboard, take_entry(), at, flow)

    return make


def test_a_claim_begins_behind_those_that_others_make(peer: Callable[..., Peer]) -> None:
    first, second, third = peer(10), peer(10), peer(12)

    assert [first.begin(), second.begin(), third.begin(100)] == [10, 15, 20]
    first.end(11, 12, 13, 14, 15)
    assert first.begin() == 120


def test_jobs_of_another_queue_or_priority_are_passed_over_by_nobody(
    peer: Callable[..., Peer],
) -> None:
    flows: list[Flow] = [(None, 3), ("other", 0), ("mail", 0)]
    peers = [peer(10, flow) for flow in flows]
    peer(900).begin()
    peer(700, ("mail", 0)).begin()

    assert [each.begin() for each in peers] == [10, 10, 705]


def test_a_claim_that_brought_less_is_not_passed_over_any_more(
    peer: Callable[..., Peer],
) -> None:
    first, second = peer(10), peer(10)
    first.begin()

    first.end(11, 12)

    assert (second.begin(), read_mark(first.entry.words)) == (10, None)


def test_what_is_left_of_a_claim_is_searched_before_what_comes_behind_others(
    peer: Callable[..., Peer],
) -> None:
    """It brought jobs that came before, and its worker goes on where it has come to."""
    first, second = peer(10), peer(10)
    first.begin()
    second.begin(1000)

    first.end(11, 12)

    assert first.search() == [(12, 15), (1015, None)]
    first.end(13, 14, 15, 1016, 1017)
    assert first.search() == [(1017, None)]


def test_a_claim_that_came_further_than_was_said_is_passed_over_as_a_whole(
    peer: Callable[..., Peer],
) -> None:
    """Somebody who said nothing claimed what it had said."""
    first, second = peer(10), peer(10)
    first.begin()

    first.end(*range(31, 36))

    assert second.begin() == 35


def test_a_claim_is_said_before_another_one_asks_how_far_all_are(
    peer: Callable[..., Peer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both is done in its turn."""
    first, second = peer(10), peer(10)
    said: list[ClaimMark | None] = []

    @contextmanager
    def turn(_: ClaimMarks) -> Generator[None]:
        monkeypatch.undo()
        second.begin()
        yield
        said.append(read_mark(first.entry.words))

    monkeypatch.setattr(ClaimMarks, "turn", turn)

    assert first.begin() == 15
    assert said == [ClaimMark(ALL_QUEUES, 0, 20)]


def test_a_claim_that_was_not_made_is_made_again_from_where_it_was(
    peer: Callable[..., Peer],
) -> None:
    """What it was to take is searched by it: others have begun behind that."""
    first, second = peer(10), peer(10)
    first.begin()
    second.begin()

    assert first.search() == [(10, 15), (20, None)]


def test_a_sweep_searches_up_to_where_its_worker_was_and_then_behind_the_others(
    peer: Callable[..., Peer],
) -> None:
    """It takes nothing that another has said to claim, and says so itself."""
    first, second, third = peer(100), peer(200), peer(200)
    second.begin(50)
    first.cursor.request_sweep()
    wait_until(lambda: first.cursor.sweep_at <= monotonic())

    swept = first.search()

    assert swept == [(0, 100), (250, None)]
    assert third.begin() == 255
    first.end(30, 31, 99)
    assert first.search() == [(99, 255), (260, None)]


def test_the_first_sweep_of_a_worker_goes_on_to_where_the_others_are(
    peer: Callable[..., Peer],
) -> None:
    second = peer(200)
    second.begin(50)
    first = peer(20)
    second.end(*range(201, 251))
    second.begin(50)

    assert first.search() == [(20, 250), (300, None)]


def test_what_a_dead_worker_was_about_to_claim_is_not_passed_over(
    peer: Callable[..., Peer],
) -> None:
    first, second = peer(10), peer(10)
    first.begin()

    first.entry.record_exit(9, "signal", 0)

    assert second.begin() == 10


def test_who_passes_over_a_gap_follows_nobody_and_is_followed_by_nobody(
    peer: Callable[..., Peer],
) -> None:
    """What lies there others may be able to run."""
    first, second = peer(10), peer(10)
    first.cursor.skip(Gap(None, 0, 20, 90))

    assert (first.begin(), second.begin(), first.begin()) == (10, 10, 10)
    first.cursor.cleared(Gap(None, 0, 20, 90), None)
    first.cursor.begin_claim()
    first.end(16)
    first.begin()
    assert read_mark(first.entry.words) == ClaimMark(ALL_QUEUES, 0, 21)


def test_a_claim_that_found_nothing_behind_others_is_made_from_its_own_position(
    make_worker: MakeWorker,
    take_entry: Callable[[], ScoreboardEntry],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No sweep is needed, and the worker does not take it for the end of the queue."""
    monkeypatch.setattr(cursors, "SWEEP_S", 1e9)
    monkeypatch.setattr(cursors, "SHARE", 1e9)
    idle_at = list[int]()

    def register(_: IdleRegistration, process_id: int) -> bool:
        del process_id
        idle_at.append(len(_ran))
        return False

    monkeypatch.setattr(IdleRegistration, "register", register)
    driven = make_worker(threads=1, prefetch=20)
    enqueue_many(note_turn.with_args(turn) for turn in range(200))
    driven.until(lambda: len(_ran) > 0)
    write_mark(take_entry().words, ClaimMark(ALL_QUEUES, 0, 2**40))

    driven.until(lambda: len(_ran) == 200)

    assert _ran == [*range(200)]
    assert min(idle_at, default=200) > 150
