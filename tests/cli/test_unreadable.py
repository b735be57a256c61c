"""A job whose arguments are beyond Python hides no other job, and tells no secret."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from harness.project import Project
    from jobsd.database.connection import Session
    from system.commands import Commands

LONG = "9" * 5000
DEEP = "[" * 700 + "]" * 700


@pytest.mark.failure(
    "A program in another language stores arguments that Python can not read.",
    "That job fails and says why; the commands show it, as text, and all others.",
)
@pytest.mark.parametrize("value", [LONG, DEEP], ids=["long", "deep"])
def test_arguments_that_can_not_be_read_are_shown_as_text(
    run: Commands, session: Session, value: str
) -> None:
    job_id = _enqueue(session, value)
    run("enqueue", "shop_jobs.welcome", "[1]")

    shown = {job["id"]: job["arguments"] for job in run.json("list")}

    assert shown.pop(job_id) == f"[{value}]"
    assert list(shown.values()) == [[1]]
    assert run.json("show", str(job_id))["arguments"] == f"[{value}]"
    assert run("list").returncode == run("show", str(job_id)).returncode == 0


def test_arguments_that_can_not_be_read_are_hidden_when_some_are(
    project: Project, run: Commands, session: Session
) -> None:
    project.write(
        "config/queue.yml", "import: [shop_jobs]\njobs: {filter_arguments: [token]}\n"
    )
    job_id = _enqueue(session, LONG)

    assert run.json("show", str(job_id))["arguments"] == "[FILTERED]"


@pytest.mark.parametrize("moment", ["infinity", "-infinity"])
def test_a_job_scheduled_at_infinity_is_shown(
    run: Commands, session: Session, moment: str
) -> None:
    job_id = run.json("enqueue", "shop_jobs.welcome", "[1]", "--in", "1h")["id"]
    for table in ("scheduled_executions", "jobs"):
        session.connection.execute(
            f"UPDATE jobsd.{table} SET scheduled_at = '{moment}'".encode()
        )

    assert [job["id"] for job in run.json("list")] == [job_id]
    assert run.json("show", str(job_id))["state"] == "scheduled"
    assert run("show", str(job_id)).returncode == 0


def _enqueue(session: Session, value: str) -> int:
    row = session.connection.execute(
        "SELECT jobsd.enqueue('shop_jobs.fail', %s::jsonb)", (f"[{value}]",)
    ).fetchone()
    assert row is not None
    return int(row[0])
