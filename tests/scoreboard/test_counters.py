"""What became of a queue's jobs, counted in words of memory."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobsd.scoreboard.counters import BUCKETS_S, OUTCOMES, QUEUE_WORDS, QueueCounters
from jobsd.scoreboard.queue_names import NAMES_WORDS, QueueNames
from jobsd.scoreboard.words import read_text, write_text


def words(count: int) -> memoryview[int]:
    return memoryview(bytearray(count * 8)).cast("q")


def row() -> QueueCounters:
    """Return the counters of a queue of which nothing is counted yet."""
    names = QueueNames(words(NAMES_WORDS))
    return QueueCounters(words(QUEUE_WORDS), names, names.number("mail"))


@pytest.fixture
def counters() -> QueueCounters:
    return row()


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_each_outcome_is_counted_by_itself(counters: QueueCounters, outcome: str) -> None:
    counters.count(outcome)
    counters.count(outcome, 4)

    counted = {name: counters.outcome(name) for name in OUTCOMES}
    assert counted == {name: 5 if name == outcome else 0 for name in OUTCOMES}


def test_a_duration_is_counted_in_the_first_bucket_that_holds_it(
    counters: QueueCounters,
) -> None:
    counters.observe(waits_s=[0.006, 0.005], runs_s=[2.5, 1e6])

    waits, waited_s = counters.waits()
    runs, ran_s = counters.durations()
    assert waits[:3] == [1, 1, 0]
    assert (runs[BUCKETS_S.index(5.0)], runs[-1]) == (1, 1)
    assert waited_s == pytest.approx(0.011)
    assert ran_s == pytest.approx(1_000_002.5)


@given(st.lists(st.floats(0, 1e7), max_size=50))
def test_many_durations_at_once_count_like_each_alone(durations_s: list[float]) -> None:
    together, alone = row(), row()
    for duration_s in durations_s:
        alone.observe(waits_s=[], runs_s=[duration_s])

    together.observe(waits_s=[], runs_s=durations_s)

    assert together.durations()[0] == alone.durations()[0]
    assert together.durations()[1] == pytest.approx(alone.durations()[1], abs=1e-6)


@given(st.lists(st.tuples(st.floats(0, 1e7), st.floats(0, 1e7)), max_size=20))
def test_runs_that_are_counted_one_by_one_count_like_many(
    durations_s: list[tuple[float, float]],
) -> None:
    together, alone = row(), row()
    for wait_s, run_s in durations_s:
        alone.count_run("finished", wait_s, run_s)

    together.count("finished", len(durations_s))
    together.observe(
        waits_s=[wait_s for wait_s, _ in durations_s],
        runs_s=[run_s for _, run_s in durations_s],
    )

    assert alone.outcome("finished") == together.outcome("finished")
    assert alone.waits()[0] == together.waits()[0]
    assert alone.durations()[0] == together.durations()[0]
    assert alone.waits()[1] == pytest.approx(together.waits()[1], abs=1e-6)
    assert alone.durations()[1] == pytest.approx(together.durations()[1], abs=1e-6)


def test_a_run_that_snoozed_has_no_outcome(counters: QueueCounters) -> None:
    counters.count_run("snoozed", 0.0, 2.0)

    assert not any(counters.outcome(name) for name in OUTCOMES)
    assert counters.durations()[1] == 2.0


@pytest.mark.parametrize("wait_s", [6.4e10, float("inf")])
def test_a_wait_of_two_thousand_years_breaks_nothing(
    counters: QueueCounters, wait_s: float
) -> None:
    for _ in range(3):
        counters.observe(waits_s=[wait_s], runs_s=[0])
    counters.count_run("finished", wait_s, 0)

    assert counters.waits()[0][-1] == 4
    assert counters.waits()[1] == pytest.approx(2**63 / 1e9)


def test_everything_has_its_place_in_the_row(counters: QueueCounters) -> None:
    for outcome in OUTCOMES:
        counters.count(outcome)
    for bucket in (*BUCKETS_S, 1e6):
        counters.observe(waits_s=[bucket], runs_s=[bucket])

    assert counters.name == "mail"
    assert [counters.outcome(outcome) for outcome in OUTCOMES] == [1] * len(OUTCOMES)
    assert counters.waits() == counters.durations()
    assert counters.waits()[0] == [1] * (len(BUCKETS_S) + 1)


@given(st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"])))
def test_a_text_comes_back_as_far_as_it_fits(text: str) -> None:
    memory = words(6)

    write_text(memory, 1, text, 4)

    assert text.startswith(read_text(memory, 1, 4))
    assert len(text.encode()) > 32 or read_text(memory, 1, 4) == text
    assert (memory[0], memory[5]) == (0, 0)


def test_a_shorter_text_leaves_nothing_of_a_longer_one() -> None:
    memory = words(4)
    write_text(memory, 0, "a long name", 4)

    write_text(memory, 0, "short", 4)

    assert read_text(memory, 0, 4) == "short"
