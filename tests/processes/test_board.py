"""The memory of a tree: who may have a slot, and what outlives whom."""

from __future__ import annotations

import os

import pytest

from jobsd.processes.board import SLOTS_MAX, Board
from jobsd.processes.slot import DEAD, FREE, TAKEN, UP


def test_a_board_begins_with_free_slots_only() -> None:
    board = Board()

    assert {slot.state for slot in board.slots} == {FREE}
    assert (board.living(), board.dead(), list(board.restarts())) == ([], [], [])


def test_a_slot_goes_from_taken_to_up_to_dead_to_free() -> None:
    board = Board()
    slot = board.slots[0]
    states = [slot.state]
    slot.take("worker", "worker-1")
    states.append(slot.state)
    slot.tick()
    states.append(slot.state)
    slot.bury(9, "signal", 1024)
    states.append(slot.state)
    slot.free()

    assert [*states, slot.state] == [FREE, TAKEN, UP, DEAD, FREE]


def test_a_dead_slot_is_not_given_to_a_successor() -> None:
    board = Board()
    first = board.free_slot()
    assert first is not None
    first.take("worker", "worker-1")
    first.bury(0, "exit", 0)

    second = board.free_slot()

    assert second is not None
    assert second is not first
    assert board.dead() == [first]


def test_a_spare_slot_is_kept_back() -> None:
    board = Board()
    for slot in board.slots[: SLOTS_MAX - 2]:
        slot.take("worker", "w")

    assert board.free_slot(spare=1) is board.slots[-2]
    assert board.free_slot(spare=2) is None


def test_a_full_board_has_no_slot() -> None:
    board = Board()
    for slot in board.slots:
        slot.take("worker", "w")

    assert board.free_slot() is None
    assert len(board.living()) == SLOTS_MAX


def test_a_slot_that_was_given_back_is_given_again() -> None:
    board = Board()
    for slot in board.slots[:3]:
        slot.take("worker", "w")
    board.slots[1].free()

    assert board.free_slot() is board.slots[1]


def test_only_slots_that_were_ever_used_are_looked_at() -> None:
    board = Board()
    for slot in board.slots[:3]:
        slot.take("worker", "w")
    board.slots[1].free()

    assert list(board.used()) == board.slots[:3]


def test_restarts_are_told_by_kind_and_reason() -> None:
    board = Board()
    board.count_restart("worker", "signal")
    board.count_restart("worker", "signal")
    board.count_restart("monitor", "hung")

    assert sorted(board.restarts()) == [("monitor", "hung", 1), ("worker", "signal", 2)]


@pytest.mark.parametrize("kind", ["", "thread"])
def test_an_unknown_kind_is_refused(kind: str) -> None:
    with pytest.raises(ValueError, match="not in tuple"):
        Board().count_restart(kind, "signal")


def test_words_of_the_head_do_not_touch_one_another() -> None:
    board = Board()
    words = [name for name, word in vars(Board).items() if type(word).__name__ == "_Word"]
    for value, name in enumerate(words, start=1):
        setattr(board, name, value)
    board.supervisor_name = "supervisor-0123456789ab"
    board.count_restart("worker", "stop")

    assert [getattr(board, name) for name in words] == list(range(1, len(words) + 1))
    assert board.supervisor_name == "supervisor-0123456789ab"


def test_the_supervisors_tick_ages() -> None:
    board = Board()
    board.tick()

    assert 0 <= board.tick_age_s < 5


def test_what_a_child_writes_is_read_after_its_end() -> None:
    board = Board()
    slot = board.slots[0]
    slot.take("worker", "worker-1")

    pid = os.fork()
    if pid == 0:
        slot.tick()
        slot.started(2, 77, 5)
        slot.queue("mail").count("finished", 5)
        os._exit(0)
    os.waitpid(pid, 0)

    assert (slot.state, slot.running()) == (UP, [(77, 5)])
    assert [(q.name, q.outcome("finished")) for q in slot.queues()] == [("mail", 5)]
