"""How much one statement carries, after others were late or quick."""

from __future__ import annotations

import pytest
from psycopg import OperationalError, errors

from jobsd.database.deadline import DeadlineError
from jobsd.database.portions import BYTES_MAX, Portion, cut, is_late

MIB = 2**20


def test_a_statement_carries_4_mib_at_most() -> None:
    assert BYTES_MAX == 4 * MIB
    assert Portion().fitting([MIB] * 6) == 4
    assert Portion().fitting([4 * MIB, 1]) == 1


def test_one_value_alone_may_be_larger() -> None:
    assert Portion().fitting([9 * MIB, 1]) == 1
    assert Portion().fitting([0, 9 * MIB, 0, 1]) == 3


def test_after_each_deadline_it_is_half_as_much_and_at_last_one_value() -> None:
    portion = Portion()
    counts: list[int] = []
    for _ in range(6):
        counts.append(portion.fitting([MIB // 4] * 20))
        portion.was_late()

    assert counts == [16, 8, 4, 1, 1, 1]


def test_a_late_portion_is_half_of_the_size_sent() -> None:
    portion = Portion()
    portion.was_late(MIB)

    assert portion.fitting([MIB // 4] * 20) == 1


def test_jobs_without_a_size_are_sent_along_in_the_smallest_portion() -> None:
    portion = Portion()
    for _ in range(6):
        portion.was_late()

    assert portion.fitting([0, 0, 5, 0, 0, 5]) == 5


def test_it_grows_again_once_statements_of_its_size_are_quick() -> None:
    portion = Portion()
    for _ in range(9):
        portion.was_late()
    portion.was_answered(10, took_s=0.1, deadline_s=10)
    assert portion.most == MIB

    portion.was_answered(MIB, took_s=3, deadline_s=10)
    portion.was_answered(MIB // 4, took_s=0.1, deadline_s=10)
    assert portion.most == MIB

    for _ in range(9):
        portion.was_answered(portion.most, took_s=2, deadline_s=10)
    assert portion.most == BYTES_MAX


@pytest.mark.parametrize(
    ("error", "late"),
    [
        (DeadlineError("given up"), True),
        (errors.QueryCanceled("by its own timeout"), True),
        (OperationalError("connection refused"), False),
        (errors.LockNotAvailable("locked"), False),
    ],
)
def test_only_a_deadline_is_late(error: Exception, *, late: bool) -> None:
    assert is_late(error) is late


def test_values_are_cut_into_groups_that_lose_none() -> None:
    sizes = [3 * MIB, MIB, 0, 1, 9 * MIB, 0, 2 * MIB]

    assert [[*group] for group in cut(sizes, int)] == [
        [3 * MIB, MIB, 0],
        [1],
        [9 * MIB, 0],
        [2 * MIB],
    ]
    assert [*cut([], int)] == []
