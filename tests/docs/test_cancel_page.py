"""The program of the page about cancelling does what it says, and so does the command."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from docs.pages import blocks, guide
from harness.project import Project
from waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.system

SETTINGS = "import: [pages]\nworkers: [{threads: 3}]\n"


def test_jobs_are_cancelled_as_described_by_the_page(
    tmp_path: Path, empty_database: str
) -> None:
    (program,) = blocks(guide("cancel"), "python")
    project = Project(tmp_path, empty_database)
    project.write("pages.py", program)
    project.write("config/queue.yml", SETTINGS)
    with project.start("--metrics-bind", "127.0.0.1:0") as tree:
        tree.wait_event("supervisor.ready")
        project.python(
            "import pages\npages.export.enqueue(5)\npages.pay.enqueue(7)\n"
            "pages.report.enqueue()\n"
            "pages.report.using(wait='1h').enqueue()\n"
        )

        def claimed() -> list[object]:
            found: list[object] = json.loads(
                project.run("list", "--state", "claimed", "--json").stdout
            )
            return found

        wait_until(lambda: len(claimed()) == 3, 20, tree.reported)

        done = project.run("cancel", "--all", "--yes", "--json")

        found = json.loads(done.stdout)
        assert (found["cancelled"], found["discarded"], found["stopping"]) == (4, 1, 3)
        assert sorted(each["state"] for each in found["jobs"]) == ["claimed"] * 3 + [
            "scheduled"
        ]
        wait_until(lambda: not claimed(), 20, tree.reported)
        reported = tree.reported()
        assert "the export of customer 5 is removed" in reported
        assert "order 7 is paid" in reported
        assert "the report is short, but done" in reported
        assert "never printed" not in reported
        wait_until(lambda: len(tree.events("job.discarded")) == 2, 20, tree.reported)
        assert {each["reason"] for each in tree.events("job.discarded")} == {"cancelled"}
        metrics = project.run("metrics").stdout
        assert 'jobsd_cancelled_total{queue="default"} 2.0' in metrics
        job_id = next(each["id"] for each in found["jobs"] if each["state"] == "claimed")
        shown = json.loads(project.run("show", str(job_id), "--json").stdout)
        assert (shown["state"], shown["reason"]) == ("discarded", "cancelled")
        assert shown["errors"][0]["type"] == "Cancelled"
        refused = project.run("cancel", str(job_id))
        assert refused.returncode == 6
        assert f"job {job_id} is discarded already" in refused.stderr
        assert "cancel" in project.run("audit").stdout
