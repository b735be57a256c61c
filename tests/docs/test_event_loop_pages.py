"""The programs of the pages about event loops and SQLAlchemy store what they say."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import psycopg
import pytest

from docs.pages import blocks, guide
from enqueueing.drivers import address
from harness.tree import ENDS_WITH_US

if TYPE_CHECKING:
    from pathlib import Path

    from jobsd.database.connection import Target

pytestmark = pytest.mark.system

PROGRAMS = blocks(guide("async", "sqlalchemy"), "py")


@pytest.mark.parametrize(("program", "users"), [(0, range(5)), (1, range(1, 6))])
def test_a_program_of_a_page_stores_its_jobs(
    program: int, users: range, tmp_path: Path, target: Target
) -> None:
    where, options = address("asyncpg", target.url)
    url = where.update_query_dict({name: str(value) for name, value in options.items()})
    written = url.render_as_string(hide_password=False).replace("+asyncpg", "")
    (tmp_path / "users.py").write_text(PROGRAMS[program], encoding="utf-8")
    with psycopg.connect(target.url, autocommit=True) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS users (id int)")

    done = subprocess.run(
        [*ENDS_WITH_US, sys.executable, "-W", "error", "users.py"],
        env={**os.environ, "APP_DATABASE_URL": written, "QUEUE_DATABASE_URL": target.url},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    with psycopg.connect(target.url) as connection:
        rows = connection.execute("SELECT (arguments ->> 0)::int FROM jobsd.jobs ORDER BY id")
        assert sorted(row[0] for row in rows) == list(users)
