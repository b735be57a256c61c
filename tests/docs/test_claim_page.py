"""docs/reference/claim.sql has the statements that workers send, and psql runs it."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from docs import claim_page
from jobsd.jobs.definition import job

if TYPE_CHECKING:
    from jobsd.database.connection import Session, Target

_DRAW = b"SELECT nextval(pg_get_serial_sequence('jobsd.jobs', 'id'))"
"""The job of the page has the id 1, so another job must not get it."""
_HELD = b"""
WITH held AS (
    INSERT INTO jobsd.jobs (id, class_name, queue_name) VALUES (1, 'held', 'q')
)
INSERT INTO jobsd.claims (id, process_id, job_ids) VALUES (1, 1, '{1}')
"""
_CONTENTS = b"""
SELECT id, outcome FROM jobsd.jobs
UNION ALL SELECT id, job_ids::text FROM jobsd.claims
UNION ALL SELECT job_id, 'ready' FROM jobsd.ready_executions
ORDER BY 1, 2
"""


@job
def shown(n: int) -> None:
    """Do nothing."""


def test_the_page_of_claims_is_up_to_date() -> None:
    made = claim_page.page()

    assert claim_page.PAGE.read_text(encoding="utf-8") == made, (
        "run .venv/bin/python tests/docs/claim_page.py"
    )


@pytest.mark.parametrize("number", range(3))
def test_the_page_shows_what_workers_send(number: int) -> None:
    each = claim_page.SHOWN[number]

    assert claim_page.bare(each.text) == claim_page.bare(each.statement.text)


@pytest.mark.usefixtures("default_client")
@pytest.mark.skipif(shutil.which("psql") is None, reason="needs psql")
def test_psql_runs_the_page_and_keeps_nothing(session: Session, target: Target) -> None:
    session.connection.execute(_DRAW)
    shown.enqueue(1)
    session.connection.execute(_HELD)
    session.connection.commit()
    before = _contents(session)

    ran = subprocess.run(
        ["psql", "-X", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-f", claim_page.PAGE, target.url],
        env=os.environ | {"PAGER": "cat"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert ran.returncode == 0, ran.stderr
    claimed, recorded, both = [
        part for part in ran.stdout.split("BEGIN\n") if part.endswith("ROLLBACK\n")
    ]
    assert "shown|[1]|default" in claimed
    assert recorded == "|0|1\nROLLBACK\n"
    assert both.startswith("5000000000000000|1|1|")
    assert "shown|[1]|default" in both
    assert _contents(session) == before


def _contents(session: Session) -> list[tuple[object, ...]]:
    rows = session.connection.execute(_CONTENTS).fetchall()
    session.connection.commit()
    return rows
