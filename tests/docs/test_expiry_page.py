"""The programs of the page about jobs that expire do what it says."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import psycopg
import pytest

from docs.pages import blocks, guide
from harness.project import Project
from waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.system

SETTINGS = "import: [pages]\nworkers: [{queues: default, threads: 1}]\ndispatchers: [{}]\n"


def test_jobs_expire_as_described_by_the_page(tmp_path: Path, empty_database: str) -> None:
    page = guide("expiry")
    project = Project(tmp_path, empty_database)
    project.write("pages.py", blocks(page, "python")[0])
    project.write("config/queue.yml", SETTINGS)
    with project.start("--metrics-bind", "127.0.0.1:0") as tree:
        tree.wait_event("supervisor.ready")
        project.python("import pages\npages.enqueue_both()\n")

        wait_until(lambda: "user 7 gets 4711" in tree.reported(), 20, tree.reported)
        gone = tree.wait_event("jobs.discarded")

        assert gone["reason"] == "expired"
        shown = json.loads(project.run("show", str(gone["job_ids"][0]), "--json").stdout)
        assert (shown["state"], shown["reason"]) == ("discarded", "expired")
        assert "EUR was read" not in tree.reported()
        metrics = project.run("metrics").stdout
        assert 'jobsd_expired_total{queue="prices"} 1.0' in metrics
    with psycopg.connect(empty_database) as connection:
        connection.execute(blocks(page, "sql")[0].encode())
