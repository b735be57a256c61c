"""How many jobs are had in hand: no more than free threads start within a moment."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from jobsd.worker.claiming.polling import PrefetchPolicy
from jobsd.worker.constants import BATCH_MAX, BYTES_MAX, CLAIMED_MAX, FEW, PATIENCE_S, STEADY_S

if TYPE_CHECKING:
    from jobsd.performing.runner import Runner


def _policy(mean_s: float, *, threads: int = 4, prefetch: int | None = None) -> PrefetchPolicy:
    policy = PrefetchPolicy(threads, prefetch)
    policy.observe_durations([mean_s])
    return policy


def test_nothing_is_had_in_hand_until_a_run_time_is_known() -> None:
    assert (PrefetchPolicy(4, None).ahead([]), PrefetchPolicy(4, None).startable([])) == (
        0,
        None,
    )


def test_long_jobs_are_not_had_in_hand() -> None:
    assert _policy(0.05).ahead([]) == 0


def test_jobs_that_take_no_time_are_had_in_hand_in_two_batches() -> None:
    assert _policy(1e-6).ahead([]) == CLAIMED_MAX


def test_one_slow_job_takes_a_share_of_the_jobs_ahead_and_not_all() -> None:
    policy = _policy(0.001)

    assert (policy.ahead([]), policy.ahead([30.0])) == (80, 60)


def test_nothing_is_had_in_hand_while_all_threads_are_busy_for_long() -> None:
    assert _policy(0.001).ahead([0.05] * 4) == 0


def test_what_waits_behind_slow_jobs_alone_is_given_back() -> None:
    assert _policy(0.001).startable([0.2] * 4) == 0


def test_jobs_that_free_threads_start_in_time_stay() -> None:
    assert _policy(0.001).startable([0.2] * 3) == 100


def test_jobs_that_have_become_slow_are_given_back_before_all_threads_are_stuck() -> None:
    policy = _policy(1e-5)
    policy.observe_durations([0.01] * 20)

    startable = policy.startable([0.005] * 4)

    assert startable is not None
    assert startable < 50


def test_one_job_that_takes_longer_does_not_make_all_behind_it_slow() -> None:
    """A thread may wait for a processor for a while: giving 500 back takes as long again."""
    policy = _policy(1e-5)

    assert policy.startable([0.02] * 4) == pytest.approx(4 * 8000, abs=1)
    assert policy.ahead([0.01] * 4) == CLAIMED_MAX
    assert policy.startable([0.1] * 4) == 0


def _busy(waiting: int, running_s: list[float]) -> Runner:
    """Return a pool whose threads run a job each, for so long, with so many jobs waiting."""
    made = SimpleNamespace(waiting=waiting, running_for_s=lambda: running_s)
    return cast("Runner", made)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that shows its only value."""
    now = [1000.0]
    monkeypatch.setattr("jobsd.worker.claiming.polling.monotonic", lambda: now[0])
    return now


def test_jobs_behind_long_ones_are_given_back_within_the_patience(clock: list[float]) -> None:
    policy = _policy(1e-5)
    kept = list[int | None]()

    for tick in range(11):
        clock[0] = 1000 + tick * PATIENCE_S / 10 + 1e-6
        kept.append(policy.late(_busy(500, [tick * PATIENCE_S / 10 + 1e-6] * 4)))

    assert kept == [*[None] * 10, 0]


@pytest.mark.usefixtures("clock")
def test_threads_that_wait_for_a_processor_for_a_moment_let_no_job_be_given_back() -> None:
    policy = _policy(1e-5)

    assert (policy.late(_busy(500, [0.2] * 4)), policy.is_in_doubt) == (None, True)
    assert (policy.late(_busy(500, [1e-5] * 4)), policy.is_in_doubt) == (None, False)


def test_one_long_run_among_short_ones_lets_no_job_be_given_back(clock: list[float]) -> None:
    policy = _policy(1e-5)
    policy.observe_durations([0.3])

    seen = [policy.late(_busy(500, [1e-5] * 4))]
    policy.observe_durations([1e-5] * 20)
    clock[0] += STEADY_S
    seen.append(policy.late(_busy(500, [1e-5] * 4)))

    assert seen == [None, None]


def test_jobs_posted_for_idle_threads_stay_for_any_duration() -> None:
    assert _policy(10.0).startable([0.01]) == 3


def test_a_prefetch_that_is_given_rules() -> None:
    policy = _policy(10.0, prefetch=7)

    assert (policy.ahead([0.2] * 4), policy.startable([0.2] * 4)) == (7, None)


@pytest.mark.parametrize("prefetch", [None, 500])
def test_a_worker_that_was_cut_off_starts_small_and_grows_soon(prefetch: int | None) -> None:
    policy = _policy(0.0001, prefetch=prefetch)
    assert policy.ahead([]) >= 500

    policy.start_small()
    taken = [policy.ahead([])]
    while taken[-1] < 500:
        policy.observe_durations([0.0001] * 500)
        taken.append(policy.ahead([]))

    assert taken[:5] == [0, 1, 2, 4, 8]
    assert len(taken) < 13


@pytest.mark.parametrize("prefetch", [None, 500])
def test_of_jobs_with_large_arguments_few_are_claimed(prefetch: int | None) -> None:
    policy = _policy(1e-6, prefetch=prefetch)

    policy.observe_sizes(100, 5 * BYTES_MAX, withheld=False)
    assert (policy.ahead([]), policy.batch_max) == (10, 10)
    policy.observe_sizes(10, 50 * BYTES_MAX, withheld=False)
    assert (policy.ahead([]), policy.batch_max) == (FEW, FEW)
    policy.observe_sizes(4, 100, withheld=False)

    assert policy.batch_max == BATCH_MAX


def test_after_a_claim_that_could_not_be_borne_few_are_claimed_and_soon_more() -> None:
    policy = _policy(1e-6)

    policy.observe_sizes(500, 1000, withheld=True)

    assert (policy.ahead([]), policy.batch_max) == (FEW, FEW)
    policy.observe_durations([1e-6] * FEW)
    assert policy.batch_max == 2 * FEW


def test_many_long_jobs_prefetch_as_many_as_are_about_to_end() -> None:
    many, few = _policy(0.5, threads=100), _policy(0.5, threads=4)
    running = [0.1] * 60 + [0.49] * 40

    assert (many.ahead(running), few.ahead([0.49] * 4)) == (40, 0)
    assert many.startable(running) == 40
