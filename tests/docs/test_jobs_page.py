"""The programs and statements of the pages about jobs do what they say."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import psycopg
import pytest

from docs.pages import blocks, guide
from harness.project import Project
from waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.system

PAGES = guide(
    "jobs", "retries", "arguments", "enqueue", "transactions", "sql", "limits", "unique"
)
ENGINE = (
    "import psycopg, sqlalchemy\n"
    "way = {'creator': lambda: psycopg.connect(url)}\n"
    "engine = sqlalchemy.create_engine('postgresql+psycopg://', **way)\n"
)
DEFINES = re.compile(r"^@job|^class ", re.MULTILINE)


@pytest.fixture
def project(tmp_path: Path, empty_database: str) -> Project:
    made = Project(tmp_path, empty_database)
    programs = [block.partition("\n\ndeliver.enqueue")[0] for block in blocks(PAGES, "python")]
    definitions = "".join(block for block in programs if DEFINES.search(block))
    made.write("page_jobs.py", definitions)
    made.write("config/queue.yml", "import: [page_jobs]\n")
    assert made.run("db", "migrate").returncode == 0
    return made


def _states(url: str) -> list[tuple[str, int]]:
    with psycopg.connect(url) as connection:
        rows = connection.execute(
            "SELECT class_name, count(*) FROM jobsd.jobs GROUP BY 1 ORDER BY 1"
        )
        return [(row[0], row[1]) for row in rows]


def test_the_programs_of_the_pages_run(project: Project, empty_database: str) -> None:
    shown = [block for block in blocks(PAGES, "python") if not DEFINES.search(block)]
    deliver = "deliver.enqueue(Address('Low Road 1', 'Loch Lomond'))\n"
    head = "import os\nfrom page_jobs import *\nurl = os.environ['DATABASE_URL']\n" + ENGINE
    with psycopg.connect(empty_database) as connection:
        connection.execute("CREATE TABLE users (id int)")

    printed = project.python(head + deliver + "".join(shown))
    with psycopg.connect(empty_database) as connection:
        for statement in blocks(PAGES, "sql"):
            connection.execute(statement.encode())

    assert printed == "ready ready\nduplicate True\nTrue\n"
    assert dict(_states(empty_database)) == {
        "Sync": 1,
        "page_jobs.deliver": 3,
        "reindex": 1,
        "report": 1,
        "sync": 2,
        "welcome": 9,
    }

    with project.start() as tree:
        done = "SELECT FROM jobsd.jobs WHERE outcome = 'finished'"
        with psycopg.connect(empty_database, autocommit=True) as connection:
            wait_until(lambda: connection.execute(done.encode()).rowcount == 14)
        tree.terminate()
    assert all(
        f"welcome, {user}: attempt 1" in "\n".join(tree.lines) for user in (42, 46, 47, 48)
    )


def test_long_work_and_partners_come_back(project: Project, empty_database: str) -> None:
    project.python(
        "from page_jobs import *\nimport_rows.enqueue(0, 3)\n"
        "[call_partner.enqueue(n) for n in (-1, 0, 1)]\n",
    )
    with (
        psycopg.connect(empty_database, autocommit=True) as connection,
        project.start() as tree,
    ):
        asked_again = "SELECT FROM jobsd.attempts WHERE error ->> 'type' LIKE '%Retry'"
        wait_until(lambda: connection.execute(asked_again.encode()).rowcount == 1)
        wait_until(lambda: "order 1" in tree.reported() and "row 2" in tree.reported())
        tree.terminate()
        snoozed = connection.execute("SELECT attempts FROM jobsd.jobs WHERE arguments = '[-1]'")
        assert snoozed.fetchall() == [(0,)]
