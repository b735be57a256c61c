"""The metrics of a running tree, by the command."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from waiting import wait_until

if TYPE_CHECKING:
    from system.commands import Commands

pytestmark = pytest.mark.system

_ONE = 'jobsd_jobs_total{outcome="finished",queue="mail"} 1.0'


@pytest.mark.parametrize("bind", ["127.0.0.1:0", ":0"])
def test_the_counters_of_a_tree_are_reported_beside_the_gauges(
    run: Commands, bind: str
) -> None:
    with run.project.start("--metrics-bind", bind) as tree:
        tree.wait_event("supervisor.ready")
        run.json("enqueue", "shop_jobs.welcome", "[1]")

        wait_until(lambda: _ONE in run("metrics").stdout, 10, tree.reported)
        reported = run("metrics").stdout

        assert reported.count("# TYPE jobsd_build_info ") == 1
        assert reported.count("jobsd_database_up 1.0") == 1
        assert 'jobsd_job_duration_seconds_bucket{le="0.005",queue="mail"}' in reported
        values = {each["name"]: each["value"] for each in run.json("metrics")}
        assert "jobsd_jobs_total" in values
        assert {type(value) for value in values.values()} == {float}


def test_a_tree_without_http_leaves_the_gauges(run: Commands) -> None:
    with run.project.start() as tree:
        tree.wait_event("supervisor.ready")

        reported = run("metrics")

        assert (reported.returncode, reported.stderr) == (0, "")
        assert "jobsd_database_up 1.0" in reported.stdout
        assert "jobsd_jobs_total" not in reported.stdout
