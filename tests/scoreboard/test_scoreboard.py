"""The memory of a tree: who may have an entry, and what outlives whom."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from jobsd.scoreboard import scoreboard as scoreboards
from jobsd.scoreboard.counters import OUTCOMES
from jobsd.scoreboard.entry import DEAD, FREE, TAKEN, UP
from jobsd.scoreboard.queue_names import OTHERS, QUEUES_MAX
from jobsd.scoreboard.scoreboard import ENTRIES_MAX, Scoreboard

if TYPE_CHECKING:
    from collections.abc import Callable


def test_a_scoreboard_begins_with_free_entries_only() -> None:
    scoreboard = Scoreboard()

    assert {entry.state for entry in scoreboard.entries} == {FREE}
    assert (scoreboard.living(), scoreboard.dead(), list(scoreboard.restarts())) == ([], [], [])


def test_an_entry_goes_from_taken_to_up_to_dead_to_free() -> None:
    scoreboard = Scoreboard()
    entry = scoreboard.entries[0]
    states = [entry.state]
    entry.take("worker", "worker-1")
    states.append(entry.state)
    entry.tick()
    states.append(entry.state)
    entry.record_exit(9, "signal", 1024)
    states.append(entry.state)
    entry.free()

    assert [*states, entry.state] == [FREE, TAKEN, UP, DEAD, FREE]


def test_a_dead_entry_is_not_given_to_a_successor() -> None:
    scoreboard = Scoreboard()
    first = scoreboard.free_entry()
    assert first is not None
    first.take("worker", "worker-1")
    first.record_exit(0, "exit", 0)

    second = scoreboard.free_entry()

    assert second is not None
    assert second is not first
    assert scoreboard.dead() == [first]


def test_a_spare_entry_is_kept_back() -> None:
    scoreboard = Scoreboard()
    for entry in scoreboard.entries[: ENTRIES_MAX - 2]:
        entry.take("worker", "w")

    assert scoreboard.free_entry(spare=1) is scoreboard.entries[-2]
    assert scoreboard.free_entry(spare=2) is None


def test_a_full_board_has_no_slot() -> None:
    scoreboard = Scoreboard()
    for entry in scoreboard.entries:
        entry.take("worker", "w")

    assert scoreboard.free_entry() is None
    assert len(scoreboard.living()) == ENTRIES_MAX


def test_an_entry_that_was_given_back_is_given_again() -> None:
    scoreboard = Scoreboard()
    for entry in scoreboard.entries[:3]:
        entry.take("worker", "w")
    scoreboard.entries[1].free()

    assert scoreboard.free_entry() is scoreboard.entries[1]


def test_only_entries_that_were_ever_used_are_read() -> None:
    scoreboard = Scoreboard()
    for entry in scoreboard.entries[:3]:
        entry.take("worker", "w")
    scoreboard.entries[1].free()

    assert list(scoreboard.used()) == scoreboard.entries[:3]


def test_restarts_are_counted_by_kind_and_reason() -> None:
    scoreboard = Scoreboard()
    scoreboard.count_restart("worker", "signal")
    scoreboard.count_restart("worker", "signal")
    scoreboard.count_restart("monitor", "hung")

    assert sorted(scoreboard.restarts()) == [("monitor", "hung", 1), ("worker", "signal", 2)]


@pytest.mark.parametrize("kind", ["", "thread"])
def test_an_unknown_kind_is_refused(kind: str) -> None:
    with pytest.raises(ValueError, match="not in tuple"):
        Scoreboard().count_restart(kind, "signal")


def test_words_of_the_head_do_not_touch_one_another() -> None:
    scoreboard = Scoreboard()
    words = [name for name, word in vars(Scoreboard).items() if type(word).__name__ == "_Word"]
    for value, name in enumerate(words, start=1):
        setattr(scoreboard, name, value)
    scoreboard.supervisor_name = "supervisor-0123456789ab"
    scoreboard.count_restart("worker", "stop")

    assert [getattr(scoreboard, name) for name in words] == list(range(1, len(words) + 1))
    assert scoreboard.supervisor_name == "supervisor-0123456789ab"


def test_the_supervisors_tick_ages() -> None:
    scoreboard = Scoreboard()
    scoreboard.tick()

    assert 0 <= scoreboard.tick_age_s < 5


def test_values_written_by_a_child_are_read_after_its_end() -> None:
    scoreboard = Scoreboard()
    entry = scoreboard.entries[0]
    entry.take("worker", "worker-1")

    pid = os.fork()
    if pid == 0:
        entry.tick()
        entry.started(2, 77, 5)
        entry.queue("mail").count("finished", 5)
        os._exit(0)
    os.waitpid(pid, 0)

    assert (entry.state, entry.running()) == (UP, [(77, 5)])
    assert [(q.name, q.outcome("finished")) for q in entry.queues()] == [("mail", 5)]


def _three_workers() -> Scoreboard:
    """Return the memory of workers that have met different queues, in different order."""
    scoreboard = Scoreboard()
    one, other, third = (scoreboard.entries[index] for index in range(3))
    for number, entry in enumerate((one, other, third)):
        entry.take("worker", f"worker-{number}")
    mail, sms = one.queue("mail"), other.queue("sms")
    mail.count("finished", 2)
    mail.observe(waits_s=[0.006, 9e9], runs_s=[])
    sms.count("discarded", 3)
    sms = third.queue("sms")
    sms.count("finished")
    sms.observe(waits_s=[0.006], runs_s=[2.5])
    sms.words[1] = 2**63 - 1
    other.queue("sms").count("failed")
    third.job_class("shop.send").count("retried", 4)
    return scoreboard


def test_the_sums_of_a_tree_are_those_of_each_count_and_each_bucket() -> None:
    scoreboard = _three_workers()

    sums = scoreboard.by_queue()

    assert list(sums) == ["mail", "sms"], "what nobody has met is left out"
    assert [sums["mail"].outcome(each) for each in ("finished", "discarded")] == [2, 0]
    assert [sums["sms"].outcome(each) for each in ("finished", "discarded")] == [1, 3]
    assert sums["sms"].outcome("failed") == 2**63, "a sum may be longer than a word"
    assert (sums["mail"].waits()[0][1], sums["sms"].waits()[0][1]) == (1, 1)
    assert sums["sms"].durations()[1] == 2.5
    classes = scoreboard.by_class()
    assert {name: each.outcome("retried") for name, each in classes.items()} == {"shop.send": 4}


def test_one_count_of_a_tree_is_the_same_as_in_the_sums() -> None:
    scoreboard = _three_workers()

    for outcome in OUTCOMES:
        expected = {name: each.outcome(outcome) for name, each in scoreboard.by_queue().items()}
        assert scoreboard.counted(outcome) == expected


def test_queues_beyond_the_room_are_one_of_a_tree_once_one_is_counted() -> None:
    scoreboard = _three_workers()
    entry = scoreboard.entries[0]
    names = [f"queue-{number}" for number in range(QUEUES_MAX)]
    for name in names:
        entry.queue(name)
    assert OTHERS not in scoreboard.counted("finished") | scoreboard.by_queue()

    for name in names:
        entry.queue(name).count("failed")

    assert scoreboard.counted("finished")[OTHERS] == 0
    assert scoreboard.by_queue()[OTHERS].outcome("failed") == 2
    assert len(scoreboard.by_queue()) == QUEUES_MAX + 1


def test_names_that_are_cut_off_in_the_same_letter_are_summed_together() -> None:
    scoreboard = Scoreboard()
    entry = scoreboard.entries[0]
    entry.take("worker", "worker-1")
    for letter in ("\u00e4", "\u00f6", ""):
        entry.job_class("x" * 255 + letter).count("finished")

    assert scoreboard.by_class()["x" * 255].outcome("finished") == 3


def test_a_tree_without_processes_has_no_sums() -> None:
    assert (Scoreboard().by_queue(), Scoreboard().counted("finished")) == ({}, {})


class Holder:
    """Another process of the tree, which holds the lock of announcements until it is let go."""

    def __init__(self, scoreboard: Scoreboard) -> None:
        held, self._let_go = os.pipe(), os.pipe()
        self._is_held = True
        self._pid = os.fork()
        if self._pid == 0:
            with scoreboard.announcing():
                os.write(held[1], b"!")
                os.read(self._let_go[0], 1)
                scoreboard.outages = 7
            os._exit(0)
        os.read(held[0], 1)
        for end in held:
            os.close(end)

    def let_go(self) -> None:
        if self._is_held:
            os.write(self._let_go[1], b"!")
        self._is_held = False

    def end(self) -> None:
        self.let_go()
        os.waitpid(self._pid, 0)
        for end in self._let_go:
            os.close(end)


def _on_wait(monkeypatch: pytest.MonkeyPatch, act: Callable[[float], None]) -> None:
    monkeypatch.setattr("jobsd.scoreboard.scoreboard.time.sleep", act)


def test_a_process_waits_for_another_that_announces_an_outage(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scoreboard = Scoreboard()
    holder = Holder(scoreboard)
    monkeypatch.setattr(scoreboards, "_TRIES", 10**9)
    _on_wait(monkeypatch, lambda _: holder.let_go())

    with scoreboard.announcing():
        seen = scoreboard.outages

    assert seen == 7
    holder.end()


def test_a_stopped_process_with_the_lock_delays_others_for_a_tenth_of_a_second(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scoreboard = Scoreboard()
    holder = Holder(scoreboard)
    waits: list[float] = []
    _on_wait(monkeypatch, waits.append)

    with scoreboard.announcing():
        assert 0 < sum(waits) <= 0.1
    holder.end()


def test_reload_failed_shows_the_last_reload() -> None:
    scoreboard = Scoreboard()
    failed: list[int] = []
    for outcome in ("done", "failed", "refused", "done"):
        scoreboard.count_reload(outcome)
        failed.append(bool(scoreboard.reload_failed))

    assert failed == [False, True, True, False]
    assert scoreboard.reloads() == {"done": 2, "refused": 1, "failed": 1}
