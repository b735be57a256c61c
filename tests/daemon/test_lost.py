"""What an operator is told of lost jobs, and what may be done to them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from harness.job_rows import assert_only_job_is
from jobs.placed import enqueue
from jobsd.database.commits import Commits
from jobsd.states import lost

if TYPE_CHECKING:
    from jobsd.database.connection import Session
    from system.commands import Commands


pytestmark = pytest.mark.usefixtures("default_client")


@pytest.fixture
def gone(session: Session) -> int:
    """A job that was found in no table."""
    job_id = enqueue()
    session.connection.execute("DELETE FROM jobsd.ready_executions")
    lost.find(Commits(session), [job_id])
    return job_id


def test_list_show_and_doctor_report_it(run: Commands, gone: int) -> None:
    assert [job["id"] for job in run.json("list", "--state", "lost")] == [gone]
    assert run.json("show", str(gone))["state"] == "lost"
    assert "FAIL\tlost jobs\t1 job in no table, not searched for yet;" in run("doctor").stdout


def test_doctor_reports_when_all_were_checked(run: Commands, session: Session) -> None:
    session.connection.execute(
        "INSERT INTO jobsd.lost_walk (began_at, ended_at)"
        " VALUES (now(), now() - interval '2 hours')"
    )
    assert "OK\tlost jobs\tno lost job is known; searched for 2h" in run("doctor").stdout
    session.connection.execute("UPDATE jobsd.lost_walk SET ended_at = now() - interval '3 d'")
    assert "WARN\tlost jobs\tsearched for 3d" in run("doctor").stdout


def test_it_is_retried_with_yes_only(run: Commands, session: Session, gone: int) -> None:
    refused = run("retry", str(gone))
    assert (refused.returncode, refused.stdout) == (6, "")
    assert "is lost (in no table) and may still be running: --yes" in refused.stderr

    assert run("retry", str(gone), "--yes").stdout == "1\n"
    assert_only_job_is(session, gone, "ready")


def test_all_are_retried_with_yes_only(run: Commands, session: Session, gone: int) -> None:
    assert run("retry", "--all", "--yes").stdout == "0\n"
    refused = run("retry", "--all", "--state", "lost")
    reported = "error: refusing to retry 1 lost job, which may still be running without --yes\n"
    assert (refused.returncode, refused.stderr) == (6, reported)

    assert run("retry", "--all", "--state", "lost", "--yes").stdout == "1\n"
    assert_only_job_is(session, gone, "ready")


@pytest.mark.parametrize("words", ["{}", "--all --state lost --yes"])
def test_it_is_discarded(words: str, run: Commands, session: Session, gone: int) -> None:
    assert run("discard", *words.format(gone).split()).stdout == "1\n"

    assert_only_job_is(session, gone, "discarded")


def test_metrics_report_it(run: Commands, session: Session, gone: int) -> None:
    assert gone
    assert "jobsd_lost_jobs 1.0" in run("metrics").stdout
    session.connection.execute(
        "INSERT INTO jobsd.lost_walk (ended_at) VALUES (now() - interval '1 hour')"
    )

    lines = run("metrics").stdout.splitlines()
    (age,) = [line for line in lines if line.startswith("jobsd_lost_jobs_walk_age_seconds ")]
    assert 3600 <= float(age.split()[1]) < 3700
