"""The program of the page about time limits does what it says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from docs.pages import blocks, guide
from harness.project import Project
from waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.system

SETTINGS = "import: [pages]\nworkers: [{threads: 1}]\n"


def test_jobs_are_interrupted_as_described_by_the_page(
    tmp_path: Path, empty_database: str
) -> None:
    page = guide("time-limits")
    project = Project(tmp_path, empty_database)
    project.write("pages.py", "\n\n".join(blocks(page, "python")))
    (settings,) = blocks(page, "yaml")
    project.write("config/queue.yml", SETTINGS + settings)
    with project.start("--metrics-bind", "127.0.0.1:0") as tree:
        tree.wait_event("supervisor.ready")
        project.python(
            "import pages\npages.read_pages.enqueue(1)\npages.save_pages.enqueue()\n"
            "pages.pay.enqueue(7)\n"
        )

        wait_until(lambda: "order 7 is paid" in tree.reported(), 20, tree.reported)

        assert "half of the pages are saved" in tree.reported()
        failed = tree.wait_event("job.failed")
        assert failed["error"]["type"] == "TimeLimitExceeded"
        assert "in read_pages" in failed["error"]["stack"]
        assert failed["attempt"] == 2
        metrics = project.run("metrics").stdout
        assert 'jobsd_timeouts_total{kind="soft",queue="default"} 2.0' in metrics
