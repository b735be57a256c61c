"""The estimate of what jobs need follows from the costs, and names what is missing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from jobsd.operations.capacity import (
    COSTS,
    FEATURES,
    KEPT_MAX,
    PROCESS_MIB,
    TREE_MIB,
    Load,
    Means,
    cost_of,
    plan,
)

LOAD = Load(jobs_per_day=864_000, keep_s=3600, takes_s=0.1, peak=4)
MEANS = Means(at_once=10, processes=4, connections=3, clears=True)


def test_rates_sizes_and_cores_follow_from_the_costs() -> None:
    found = plan(LOAD, MEANS)

    assert (found.mean_rate, found.peak_rate) == (10, 40)
    assert (found.at_once_needed, found.kept_jobs) == (4, 36_000)
    assert found.wal_bytes_per_day == round(864_000 * COSTS["plain"].wal_bytes)
    assert found.wal_bytes_per_s == round(40 * COSTS["plain"].wal_bytes)
    assert found.worker_cores == pytest.approx(40 * COSTS["plain"].run_us / 1e6)
    assert found.server_cores == pytest.approx(40 * COSTS["plain"].server_us / 1e6)
    assert found.disk_bytes > 36_000 * COSTS["plain"].disk_bytes
    assert found.memory_mib == TREE_MIB
    assert found.warnings == ()


def test_each_process_beyond_the_first_four_has_its_memory() -> None:
    found = plan(LOAD, replace(MEANS, processes=9))

    assert found.memory_mib == TREE_MIB + 5 * PROCESS_MIB


def test_a_feature_adds_what_it_costs_more_than_a_plain_job_and_once() -> None:
    plain, unique, tags = (COSTS[name] for name in ("plain", "unique", "tags"))

    both = cost_of(("unique", "tags", "unique"))

    assert both.wal_bytes == unique.wal_bytes + tags.wal_bytes - plain.wal_bytes
    assert cost_of(()) == plain
    for feature in FEATURES:
        assert all(
            more >= least for more, least in zip(cost_of((feature,)), plain, strict=True)
        )


@pytest.mark.parametrize(
    ("load", "means", "said"),
    [
        (replace(LOAD, takes_s=1.0), MEANS, "40 jobs run at once at the peak, and the"),
        (
            replace(LOAD, keep_s=1.01 * KEPT_MAX / 10),
            MEANS,
            "10,100,000 finished jobs are kept",
        ),
        (LOAD, replace(MEANS, clears=False), "no task of the file clears finished jobs"),
        (
            LOAD,
            replace(MEANS, connections=101),
            "101 connections are more than a server allows",
        ),
        (
            replace(LOAD, peak=3001, takes_s=0),
            MEANS,
            "the peak is above the 30,000 jobs a second",
        ),
        (replace(LOAD, peak=2000, takes_s=0), MEANS, "of WAL come between two checkpoints"),
    ],
)
def test_a_warning_names_what_is_missing(load: Load, means: Means, said: str) -> None:
    assert any(said in warning for warning in plan(load, means).warnings)


def test_nothing_is_said_of_clearing_where_nothing_is_kept() -> None:
    found = plan(replace(LOAD, keep_s=0), replace(MEANS, clears=False))

    assert (found.kept_jobs, found.disk_bytes, found.warnings) == (0, 0, ())
