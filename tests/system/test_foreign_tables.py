"""Tables of another build are no outage: the tree says so once, and waits for its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jobsd.database.steps import migrations
from system.jobs import enqueue, ledger, let_go
from waiting import wait_until

if TYPE_CHECKING:
    from harness.project import Project
    from harness.tree import Tree
    from rows import Query

pytestmark = pytest.mark.system

FOREIGN = "UPDATE jobsd.schema_migrations SET statements_hash = 'of another build'"
OURS = f"UPDATE jobsd.schema_migrations SET statements_hash = '{migrations()[0].hash}'"
CUT = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
"""
CONNECTIONS = "SELECT backend_start FROM pg_stat_activity WHERE application_name LIKE 'jobsd %'"
FINISHED = "SELECT id, attempts FROM jobsd.jobs WHERE outcome = 'finished' ORDER BY id"
ALARMS = {"database.unavailable", "schema.outdated", "process.exited", "process.crashed"}
"""What a tree that only waits for its tables does not report."""


def _restore(query: Query, state: str) -> None:
    """Do what a restore does: the tables are others, and each connection is gone."""
    query(state)
    query(CUT)


def _retry(query: Query, tree: Tree) -> None:
    """Wait until processes have tried the tables a few times more."""
    seen: set[object] = set()

    def retried() -> bool:
        seen.update(row[0] for row in query(CONNECTIONS))
        return len(seen) > 3

    wait_until(retried, what=tree.reported)


@pytest.mark.failure(
    "A database is restored below a running tree, with the tables of another build.",
    "The tree reports it once (`schema.foreign`) and waits; running jobs continue, and with the"
    " right tables the tree does, too.",
)
def test_tables_of_another_build_are_reported_once_and_waited_out(
    project: Project, query: Query
) -> None:
    with project.start() as tree:
        tree.wait_event("supervisor.ready")
        during = enqueue(query, "held", 1)
        wait_until(lambda: "start 1" in ledger(project), what=tree.reported)
        before = {child.pid for child in tree.children()}

        _restore(query, FOREIGN)
        tree.wait_event("schema.foreign")
        waiting = enqueue(query, "quick", 2)
        let_go(project)
        wait_until(lambda: "end 1" in ledger(project), what=tree.reported)
        _retry(query, tree)

        reported = tree.wait_only_event("schema.foreign")
        assert "made by another build" in reported["error"]["message"]
        assert "DROP SCHEMA" in reported["error"]["message"]
        assert ledger(project) == ["start 1", "end 1"]

        query(OURS)
        wait_until(lambda: query(FINISHED) == [(during, 1), (waiting, 1)], what=tree.reported)
        assert {child.pid for child in tree.children()} == before
        assert not {event["event"] for event in tree.events()} & ALARMS

        _restore(query, FOREIGN)
        wait_until(lambda: len(tree.events("schema.foreign")) == 2, what=tree.reported)
        tree.terminate(within_s=15)
        assert tree.process.returncode == 0


@pytest.mark.failure(
    "A function of the tables is not there, as in tables that are changed by hand.",
    "The tree reports once what is missing (`schema.foreign`), as no outage, and continues once"
    " it is there.",
)
@pytest.mark.parametrize(
    ("change", "back"),
    [
        (
            "ALTER FUNCTION jobsd.expires_in_s RENAME TO expires",
            "ALTER FUNCTION jobsd.expires RENAME TO expires_in_s",
        ),
        (
            "ALTER TABLE jobsd.claims RENAME job_ids TO jobs",
            "ALTER TABLE jobsd.claims RENAME jobs TO job_ids",
        ),
        (
            "ALTER TABLE jobsd.claims RENAME TO taken",
            "ALTER TABLE jobsd.taken RENAME TO claims",
        ),
    ],
    ids=["function", "column", "table"],
)
def test_a_missing_function_or_column_is_no_outage(
    project: Project, query: Query, change: str, back: str
) -> None:
    with project.start() as tree:
        tree.wait_event("supervisor.ready")
        before = {child.pid for child in tree.children()}
        during = enqueue(query, "held", 1)
        wait_until(lambda: "start 1" in ledger(project), what=tree.reported)

        # What is prepared on a connection knows a function by its identity, not by its name.
        query(change)
        query(CUT)
        let_go(project)
        waiting = enqueue(query, "quick", 2)
        reported = tree.wait_event("schema.foreign")
        _retry(query, tree)
        assert "does not exist" in reported["error"]["message"]
        assert len(tree.events("schema.foreign")) == 1

        query(back)
        wait_until(lambda: query(FINISHED) == [(during, 1), (waiting, 1)], what=tree.reported)
        assert {child.pid for child in tree.children()} == before
        assert not {event["event"] for event in tree.events()} & ALARMS
