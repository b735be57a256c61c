"""How many jobs are had in hand: no more than free threads start within a moment."""

from __future__ import annotations

import pytest

from jobsd.worker.pace import BATCH_MAX, BYTES, FEW, IN_HAND_MAX, Pace


def _pace(mean_s: float, *, threads: int = 4, prefetch: int | None = None) -> Pace:
    pace = Pace(threads, prefetch)
    pace.observe([mean_s])
    return pace


def test_nothing_is_had_in_hand_until_a_run_time_is_known() -> None:
    assert (Pace(4, None).ahead([]), Pace(4, None).patience([])) == (0, None)


def test_long_jobs_are_not_had_in_hand() -> None:
    assert _pace(0.05).ahead([]) == 0


def test_jobs_that_take_no_time_are_had_in_hand_in_two_batches() -> None:
    assert _pace(1e-6).ahead([]) == IN_HAND_MAX


def test_one_slow_job_takes_a_share_of_the_jobs_ahead_and_not_all() -> None:
    pace = _pace(0.001)

    assert (pace.ahead([]), pace.ahead([30.0])) == (80, 60)


def test_nothing_is_had_in_hand_while_all_threads_are_busy_for_long() -> None:
    assert _pace(0.001).ahead([0.05] * 4) == 0


def test_what_waits_behind_slow_jobs_alone_is_given_back() -> None:
    assert _pace(0.001).patience([0.2] * 4) == 0


def test_what_the_free_threads_start_in_time_stays() -> None:
    assert _pace(0.001).patience([0.2] * 3) == 100


def test_jobs_that_have_become_slow_are_given_back_before_all_threads_are_stuck() -> None:
    pace = _pace(1e-5)
    pace.observe([0.01] * 20)

    patience = pace.patience([0.005] * 4)

    assert patience is not None
    assert patience < 50


def test_what_was_posted_for_an_idle_thread_stays_however_long_jobs_are() -> None:
    assert _pace(10.0).patience([0.01]) == 3


def test_a_prefetch_that_is_given_rules() -> None:
    pace = _pace(10.0, prefetch=7)

    assert (pace.ahead([0.2] * 4), pace.patience([0.2] * 4)) == (7, None)


@pytest.mark.parametrize("prefetch", [None, 500])
def test_who_was_cut_off_begins_with_little_and_comes_back_soon(prefetch: int | None) -> None:
    pace = _pace(0.0001, prefetch=prefetch)
    assert pace.ahead([]) >= 500

    pace.forget()
    taken = [pace.ahead([])]
    while taken[-1] < 500:
        pace.observe([0.0001] * 500)
        taken.append(pace.ahead([]))

    assert taken[:5] == [0, 1, 2, 4, 8]
    assert len(taken) < 13


@pytest.mark.parametrize("prefetch", [None, 500])
def test_of_jobs_with_large_arguments_few_are_claimed(prefetch: int | None) -> None:
    pace = _pace(1e-6, prefetch=prefetch)

    pace.weigh(100, 10 * BYTES, withheld=False)
    assert (pace.ahead([]), pace.batch_max) == (10, 10)
    pace.weigh(10, 100 * BYTES, withheld=False)
    assert (pace.ahead([]), pace.batch_max) == (FEW, FEW)
    pace.weigh(4, 100, withheld=False)

    assert pace.batch_max == BATCH_MAX


def test_after_a_claim_that_could_not_be_borne_few_are_claimed_and_soon_more() -> None:
    pace = _pace(1e-6)

    pace.weigh(500, 1000, withheld=True)

    assert (pace.ahead([]), pace.batch_max) == (FEW, FEW)
    pace.observe([1e-6] * FEW)
    assert pace.batch_max == 2 * FEW
