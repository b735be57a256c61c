"""The program of the page about completing: its effects come once, however it is killed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest

from docs.pages import blocks, guide
from harness.project import Project
from waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.system

STEPS = ["before", "completed", "committed", "never"]


def test_effects_come_once_wherever_the_process_is_killed(
    tmp_path: Path, empty_database: str
) -> None:
    project = Project(tmp_path, empty_database)
    (program,) = blocks(guide("completing"), "python")
    project.write("pages.py", program)
    project.write(
        "config/queue.yml", "import: [pages]\nworkers: [{threads: 1}]\ndispatchers: [{}]\n"
    )
    with psycopg.connect(empty_database, autocommit=True) as connection:
        connection.execute("CREATE TABLE payments (order_id bigint)")
        with project.start() as tree:
            tree.wait_event("supervisor.ready")
            project.python(
                "import pages\n"
                f"for order_id, dies in enumerate({STEPS}): pages.pay.enqueue(order_id, dies)\n"
            )

            unfinished = b"SELECT count(*) FROM jobsd.jobs WHERE outcome IS NULL"
            wait_until(
                lambda: connection.execute(unfinished).fetchone() == (0,), 40, tree.reported
            )

        paid = connection.execute("SELECT order_id FROM payments ORDER BY 1").fetchall()
        ended = connection.execute("SELECT outcome, attempts FROM jobsd.jobs ORDER BY id")
        assert [row[0] for row in paid] == [0, 1, 2, 3]
        twice, once = ("finished", 2), ("finished", 1)
        assert ended.fetchall() == [twice, twice, once, once]
