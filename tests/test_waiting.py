"""Bounds give way to what the machine has stalled, and waits end all the same."""

from __future__ import annotations

import pytest

from waiting import Stopwatch, Took, wait_until


def test_what_the_machine_has_stalled_counts_for_the_upper_bound_only() -> None:
    took = Took(3.0, stalled_s=2.2)

    assert (took < 1, 2.9 < took < 1, took < 0.7) == (True, True, False)


def test_a_machine_that_always_stalls_excuses_no_more_than_four_fifths() -> None:
    took = Took(5.0, stalled_s=60.0)

    assert (took < 1.1, took < 0.9) == (True, False)


def test_a_wait_fails_when_its_time_is_over() -> None:
    watch = Stopwatch()

    with pytest.raises(AssertionError, match=r"not within 0\.05 s"):
        wait_until(lambda: False, within_s=0.05)

    assert 0.05 < watch.took() < 5
