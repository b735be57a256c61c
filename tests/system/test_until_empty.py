"""A tree that ends by itself once nothing is left to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from system.jobs import enqueue, ledger

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.project import Project

    Query = Callable[[str], list[tuple[object, ...]]]

pytestmark = pytest.mark.system


def test_a_tree_runs_all_jobs_within_the_horizon_and_ends_with_0(
    project: Project, query: Query
) -> None:
    project.write("config/recurring.yml", "beat: {class: HeartbeatJob, schedule: '@hourly'}\n")
    assert project.run("db", "migrate").returncode == 0
    for number in (1, 2):
        enqueue(query, "quick", number)
    query("SELECT jobsd.enqueue('trial_jobs.quick', '[3]', wait => '1 s')")
    query("SELECT jobsd.enqueue('trial_jobs.quick', '[4]', wait => '1 day')")

    with project.start("--until-empty", "--horizon", "1h") as tree:
        tree.process.wait(60)

        tree.assert_clean_exit()
        assert sorted(ledger(project)) == ["ran 1", "ran 2", "ran 3"]
        assert len(tree.events("supervisor.emptied")) == 1
        assert "scheduler" not in {event.get("process_kind") for event in tree.events()}
