"""An outage is one event for a tree, however many of its processes suffer it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from jobsd.instruments.events import Event, subscribe
from jobsd.processes.board import Board
from jobsd.processes.outage import PAUSE_MAX_S, PAUSE_MIN_S, Outage, begin
from jobsd.processes.slot import DEAD

if TYPE_CHECKING:
    from collections.abc import Iterator

LOST = psycopg.OperationalError("the server\n  went away")


@pytest.fixture
def board() -> Board:
    return Board()


@pytest.fixture
def told() -> Iterator[list[tuple[str, Any]]]:
    heard: list[tuple[str, Any]] = []

    def hear(event: Event, facts: dict[str, Any]) -> None:
        heard.append((event.name, facts.get("error")))

    end = subscribe(hear)
    yield heard
    end()


def _process(board: Board, name: str) -> Outage:
    slot = board.free_slot()
    assert slot is not None
    slot.take("worker", name)
    slot.set_row(slot.index + 1)
    return Outage(board, slot)


def _suffer(*outages: Outage) -> None:
    for _ in range(2):
        for outage in outages:
            outage.note(LOST)


LOST_AND_BACK = [("database.lost", "the server went away"), ("database.back", None)]


def test_the_first_to_suffer_and_the_last_to_recover_tell_it(
    board: Board, told: list[tuple[str, Any]]
) -> None:
    one, other = _process(board, "one"), _process(board, "other")
    one.over()

    _suffer(one, other)
    one.over()
    assert told == LOST_AND_BACK[:1]
    other.over()

    assert told == LOST_AND_BACK


def test_what_came_to_a_process_that_died_meanwhile_is_told_by_the_others(
    board: Board, told: list[tuple[str, Any]]
) -> None:
    one, other = _process(board, "one"), _process(board, "other")
    one.over()
    _suffer(other)
    board.slots[1].bury(0, "signal", 0)
    assert board.slots[1].state == DEAD

    one.over()

    assert told == LOST_AND_BACK


def test_a_slot_is_used_again_without_the_outage_of_the_dead(board: Board) -> None:
    one = _process(board, "one")
    _suffer(one)
    slot = board.slots[0]

    slot.take("worker", "two")

    assert slot.suffers == 0


def test_one_that_was_met_before_the_start_is_ended_by_whoever_reaches_the_database(
    board: Board, told: list[tuple[str, Any]]
) -> None:
    begin(board, LOST)
    one = _process(board, "one")

    one.over()

    assert told == [("database.waiting", "the server went away"), ("database.back", None)]


def test_a_process_that_has_no_database_does_not_call_it_back(
    board: Board, told: list[tuple[str, Any]]
) -> None:
    begin(board, LOST)
    one = _process(board, "one")
    board.slots[0].set_row(0)

    one.over()

    assert told == [("database.waiting", "the server went away")]


def test_it_is_tried_again_at_once_and_then_within_a_second(board: Board) -> None:
    one = _process(board, "one")

    rests = [one.note(LOST) for _ in range(7)]

    assert rests == [0.0, PAUSE_MIN_S, 0.2, 0.4, 0.8, PAUSE_MAX_S, PAUSE_MAX_S]


ILL = [
    psycopg.errors.DiskFull("no space left"),
    psycopg.errors.OutOfMemory("no memory left"),
    psycopg.errors.TooManyConnections("no connection left"),
    psycopg.errors.IoError("the disk fails"),
    psycopg.errors.CrashShutdown("the server has crashed"),
]
WELL = [
    psycopg.OperationalError("the server went away"),
    psycopg.errors.AdminShutdown("it was told to"),
    psycopg.errors.DeadlockDetected("one of two"),
    psycopg.InterfaceError("the connection is closed"),
]


@pytest.mark.failure(
    "The database fails now and then: its disk is full, its memory or connections are used up.",
    "An outage each time, however soon the next thing succeeds.",
)
@pytest.mark.parametrize("error", ILL, ids=lambda error: type(error).__name__)
def test_what_the_server_suffers_from_is_an_outage_at_once(
    board: Board, told: list[tuple[str, Any]], error: psycopg.Error
) -> None:
    one = _process(board, "one")
    one.over()

    one.note(error)
    one.over()

    assert told == [("database.lost", str(error)), ("database.back", None)]


@pytest.mark.parametrize("error", WELL, ids=lambda error: type(error).__name__)
def test_a_connection_that_was_cut_once_is_no_outage(
    board: Board, told: list[tuple[str, Any]], error: psycopg.Error
) -> None:
    one = _process(board, "one")
    one.over()

    assert one.note(error) == 0.0
    one.over()

    assert told == [("database.reconnected", str(error))]


def test_what_fails_now_and_then_is_tried_as_seldom_as_what_fails_always(board: Board) -> None:
    one = _process(board, "one")
    rests: list[float] = []

    for _ in range(6):
        rests.append(one.note(ILL[0]))
        one.over()

    assert rests == [PAUSE_MIN_S, 0.2, 0.4, 0.8, PAUSE_MAX_S, PAUSE_MAX_S]


def test_of_many_that_suffer_at_the_same_moment_one_speaks(board: Board) -> None:
    board.database_seen = 1
    outages = [_process(board, f"worker-{n}") for n in range(20)]
    barrier, starter = os.pipe()
    reader, writer = os.pipe()
    pids = [_fork(outage, barrier, writer) for outage in outages]

    os.write(starter, b"x" * len(pids))
    statuses = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
    os.close(writer)

    assert statuses == [0] * len(pids)
    assert os.read(reader, 100) == b"!"
    for descriptor in (barrier, starter, reader):
        os.close(descriptor)


def _fork(outage: Outage, barrier: int, writer: int) -> int:
    """Start a process that suffers once it is let go, and writes a mark for what it tells."""
    pid = os.fork()
    if pid == 0:

        def hear(_event: Event, _facts: dict[str, Any]) -> None:
            os.write(writer, b"!")

        subscribe(hear)
        os.read(barrier, 1)
        try:
            _suffer(outage)
        finally:
            os._exit(0)
    return pid
