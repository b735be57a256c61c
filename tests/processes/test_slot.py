"""What a slot tells of a process: how it lives, how it died, what it ran."""

from __future__ import annotations

import pytest

from jobsd.jobs.policy import WAIT_MAX_S, Ending
from jobsd.processes.board import Board
from jobsd.processes.runs import ENDED_MAX
from jobsd.processes.slot import REASONS, Slot


@pytest.fixture
def slot() -> Slot:
    taken = Board().slots[0]
    taken.take("worker", "worker-1")
    return taken


def _retried(job_id: int, claim_id: int = 1) -> Ending:
    return Ending(job_id, claim_id, "retried", 2.5, "mail.ServerError")


def test_a_taken_slot_names_its_process(slot: Slot) -> None:
    slot.set_pid(4711)
    slot.set_row(12)
    slot.set_threads(busy=2, threads=3)

    assert (slot.kind, slot.name, slot.pid, slot.row_id) == ("worker", "worker-1", 4711, 12)
    assert (slot.busy, slot.threads) == (2, 3)


def test_a_name_is_cut_to_its_room_and_stays_readable(slot: Slot) -> None:
    slot.take("worker", "ä" * 100)

    assert slot.name == "ä" * 64


def test_nothing_of_the_last_process_is_left_but_its_counters(slot: Slot) -> None:
    slot.set_row(12)
    slot.tick()
    slot.started(0, 1, 5)
    slot.ended_as(_retried(1))
    slot.lose_row()
    slot.ask_for_successor()
    slot.queue("mail").count("failed")
    slot.count_dropped_lines(3)
    slot.bury(9, "hung", 100)

    slot.take("dispatcher", "dispatcher-1")

    assert (slot.row_id, slot.status, slot.rss_kib, slot.up_s) == (0, 0, 0, 0.0)
    assert (slot.row_lost, slot.wants_successor) == (False, False)
    assert (slot.running(), slot.succeeded(), slot.in_threads()) == ([], [], {})
    assert slot.endings() == []
    assert slot.dropped_lines == 3
    assert slot.queue("mail").outcome("failed") == 1


@pytest.mark.parametrize("reason", REASONS)
def test_a_death_is_kept_as_it_was_told(slot: Slot, reason: str) -> None:
    slot.bury(139, reason, 2048)

    assert (slot.status, slot.reason, slot.rss_kib) == (139, reason, 2048)
    assert 0 <= slot.died_s < 5


def test_a_process_that_never_ticked_was_never_up(slot: Slot) -> None:
    slot.bury(9, "signal", 0)

    assert slot.up_s == 0


def test_a_process_is_up_from_its_first_tick_to_its_death(slot: Slot) -> None:
    slot.tick()
    slot.bury(9, "signal", 0)
    lived = slot.up_s

    assert slot.up_s == lived
    assert 0 < lived <= slot.age_s


def test_later_ticks_do_not_bring_a_dead_process_back(slot: Slot) -> None:
    slot.bury(9, "signal", 0)
    slot.tick()

    assert slot.reason == "signal"
    assert slot.up_s == 0


def test_what_threads_run_is_running(slot: Slot) -> None:
    slot.started(0, 10, 5)
    slot.started(4, 11, 5)

    assert slot.running() == [(10, 5), (11, 5)]
    assert slot.in_threads() == {0: 10, 4: 11}


def test_a_job_that_has_succeeded_does_not_run_though_its_thread_says_so(slot: Slot) -> None:
    slot.started(0, 10, 5)
    slot.ended(10, 5)

    assert (slot.running(), slot.in_threads(), slot.succeeded()) == ([], {}, [(10, 5)])


@pytest.mark.parametrize(
    ("outcome", "wait_s"),
    [("failed", 0.0), ("retried", 3.000001), ("discarded", 0.0), ("snoozed", WAIT_MAX_S)],
)
def test_what_a_job_without_success_was_to_become_is_told(
    slot: Slot, outcome: str, wait_s: float
) -> None:
    ending = Ending(10, 2**40, outcome, wait_s, "mail.ServerError")
    slot.started(0, 10, 5)
    slot.ended_as(ending)
    slot.rest(0)

    assert (slot.running(), slot.succeeded(), slot.in_threads()) == ([], [], {})
    assert (slot.endings(), slot.jobs_ended) == ([ending], 1)


def test_a_job_that_runs_again_in_the_same_process_runs(slot: Slot) -> None:
    slot.ended_as(_retried(10))
    slot.started(1, 10, 5)

    assert (slot.running(), slot.in_threads()) == ([(10, 5)], {1: 10})


def test_a_job_that_has_the_id_of_one_that_has_succeeded_runs(slot: Slot) -> None:
    slot.ended(10, 5)
    slot.started(0, 10, 6)

    assert (slot.running(), slot.succeeded()) == ([(10, 6)], [(10, 5)])


def test_of_a_long_type_the_end_is_told(slot: Slot) -> None:
    slot.ended_as(Ending(1, 1, "failed", 0.0, f"{'ä' * 100}.OwnError"))

    (ending,) = slot.endings()
    assert ending.error_type.endswith("ää.OwnError")


def test_the_last_jobs_that_ended_are_remembered(slot: Slot) -> None:
    for job in range(1, ENDED_MAX + 11):
        slot.ended(job, 5)

    assert slot.succeeded() == [(job, 5) for job in range(11, ENDED_MAX + 11)]


def test_the_last_endings_are_remembered_and_a_success_takes_the_place_of_one(
    slot: Slot,
) -> None:
    for job in range(1, ENDED_MAX + 11):
        slot.ended_as(_retried(job, claim_id=job))
    slot.ended(5000, 5)

    told = sorted((ending.job_id, ending.claim_id) for ending in slot.endings())
    assert told == [(job, job) for job in range(12, ENDED_MAX + 11)]
    assert slot.succeeded() == [(5000, 5)]


def test_slots_do_not_touch_one_another() -> None:
    first, second = Board().slots[:2]
    second.take("monitor", "monitor-1")
    before = second.words.tolist()

    first.take("worker", "w" * 200)
    for thread in range(256):
        first.started(thread, -1, -1)
    for number in range(100):
        first.queue(f"queue-{number}" * 40).observe(waits_s=[9e9], runs_s=[1e9])

    assert second.words.tolist() == before
