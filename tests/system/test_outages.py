"""A database that goes away for seconds costs nothing but these seconds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from harness.project import Project
from outages.cluster import Cluster, cluster
from system.conftest import JOBS
from system.jobs import LEDGER, enqueue, ledger
from waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.system


@pytest.fixture
def server() -> Iterator[Cluster]:
    with cluster() as made:
        yield made


@pytest.mark.failure(
    "the database is restarted while jobs run",
    "no process exits; jobs that have ended in the meantime are recorded afterwards, once",
)
@pytest.mark.behaviour(33, 34)
def test_a_restart_of_the_database_ends_no_process_and_loses_no_outcome(
    server: Cluster, tmp_path: Path
) -> None:
    url = server.start_with_tables().url
    project = Project(tmp_path, url, LEDGER=str(tmp_path / "ledger"))
    project.write("trial_jobs.py", LEDGER + JOBS)
    project.write("config/queue.yml", "import: [trial_jobs]\n")

    def query(text: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(url, autocommit=True) as connection:
            return connection.execute(text.encode()).fetchall()

    with project.start() as tree:
        tree.wait_event("supervisor.ready")
        during, beyond = (
            enqueue(query, "mixed", 1, 0.5, "pass"),
            enqueue(query, "mixed", 2, 3, "pass"),
        )
        wait_until(lambda: {"start 1", "start 2"} <= set(ledger(project)), what=tree.reported)
        before = {child.pid for child in tree.children()}

        server.stop()
        wait_until(lambda: "end 1" in ledger(project), what=tree.reported)
        tree.wait_event("database.unavailable")
        server.start()

        finished = "SELECT id, attempts FROM jobsd.jobs WHERE outcome = 'finished' ORDER BY id"
        after = enqueue(query, "quick", 3)
        wait_until(
            lambda: query(finished) == [(n, 1) for n in (during, beyond, after)],
            what=tree.reported,
        )
        assert sorted(ledger(project)) == ["end 1", "end 2", "ran 3", "start 1", "start 2"]
        assert query("SELECT FROM jobsd.claims") == []
        assert {child.pid for child in tree.children()} == before
