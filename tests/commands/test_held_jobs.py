"""`cancel` and `discard` of a job that an open transaction holds."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import psycopg
import pytest

from jobsd.operations import audit
from waiting import wait_until

if TYPE_CHECKING:
    from jobsd.database.connection import Session, Target
    from system.commands import Commands


@pytest.mark.parametrize("act", ["cancel", "discard"])
def test_the_holder_of_a_locked_job_is_named_and_the_status_is_6(
    run: Commands, session: Session, target: Target, act: str
) -> None:
    held, other = run("enqueue", "shop_jobs.fail"), run("enqueue", "shop_jobs.fail")
    with psycopg.connect(target.url, application_name="web of the shop") as holder:
        pid = holder.info.backend_pid
        holder.execute(
            "SELECT FROM jobsd.ready_executions WHERE job_id = %s FOR KEY SHARE",
            (int(held.stdout),),
        )
        done = run(act, held.stdout.strip(), other.stdout.strip())

    assert done.returncode == 6
    by = f"changed by session {pid} (web of the shop, "
    assert f"job {held.stdout.strip()} is just being claimed, or {by}" in done.stderr
    query = "SELECT outcome FROM jobsd.jobs ORDER BY id"
    assert session.connection.execute(query).fetchall() == [(None,), ("discarded",)]


@pytest.mark.parametrize("act", ["cancel", "discard"])
def test_a_job_that_is_let_go_in_time_is_discarded(
    run: Commands, session: Session, target: Target, act: str
) -> None:
    job_id = run("enqueue", "shop_jobs.fail").stdout.strip()
    asked = (
        "SELECT FROM pg_stat_activity WHERE datname = current_database()"
        " AND pid <> pg_backend_pid() AND query ~ 'holders_of|job_id = jobs.id'"
    )
    with psycopg.connect(target.url) as holder, ThreadPoolExecutor(1) as pool:
        holder.execute("SELECT FROM jobsd.ready_executions FOR KEY SHARE")
        done = pool.submit(run, act, job_id)
        wait_until(lambda: session.connection.execute(asked).fetchall() or done.done())
        holder.commit()

        assert done.result(60).returncode == 0
    query = "SELECT outcome FROM jobsd.jobs"
    assert session.connection.execute(query).fetchall() == [("discarded",)]


@pytest.mark.parametrize("act", ["cancel", "discard"])
def test_the_audit_has_how_many_jobs_of_a_list_were_ended(
    run: Commands, session: Session, act: str
) -> None:
    ids = [run("enqueue", "shop_jobs.fail").stdout.strip() for _ in range(2)]

    assert run(act, *ids).returncode == 0

    assert [(row["act"], row["jobs"]) for row in audit.rows(session)] == [(act, 2)]
