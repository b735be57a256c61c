"""What an operator is told of lost jobs, and what may be done to them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from enqueueing.placed import enqueue
from harness.job_rows import assert_only_job_is
from jobsd.acts import listing
from jobsd.daemon.cli import job_selection

if TYPE_CHECKING:
    from jobsd.database.connection import Session
    from system.commands import Commands


pytestmark = pytest.mark.usefixtures("default_client")


@pytest.fixture
def gone(session: Session) -> int:
    """A job that is in no table."""
    job_id = enqueue()
    session.connection.execute("DELETE FROM jobsd.ready_executions")
    return job_id


def test_list_show_and_doctor_report_it_when_asked(run: Commands, gone: int) -> None:
    assert [job["id"] for job in run.json("list", "--state", "lost")] == [gone]
    assert run.json("show", str(gone))["state"] == "lost"
    assert "lost" not in run("doctor").stdout

    asked = run("doctor", "--lost")
    assert asked.returncode == 1
    assert f"FAIL\tlost jobs\t1 job ({gone}) in no table; " in asked.stdout


def test_doctor_reports_that_no_job_is_lost(run: Commands) -> None:
    enqueue()

    assert "OK\tlost jobs\tno job is lost\n" in run("doctor", "--lost").stdout


def test_doctor_makes_lost_jobs_ready(run: Commands, session: Session, gone: int) -> None:
    assert "OK\tlost jobs\t1 lost job made ready\n" in run("doctor", "--lost", "--fix").stdout

    assert_only_job_is(session, gone, "ready")
    (act,) = run.json("audit")
    assert (act["act"], act["target"]) == ("retry", "lost jobs")


def test_doctor_reports_the_lost_jobs_it_has_not_fixed(
    run: Commands, session: Session, gone: int
) -> None:
    session.connection.execute(
        "INSERT INTO jobsd.processes"
        " (kind, name, pid, hostname, last_heartbeat_at, running)"
        " VALUES ('worker', 'w', 1, 'away', now() - interval '1 h',"
        "  jsonb_build_object(%s::text, 1))",
        (gone,),
    )

    asked = run("doctor", "--lost", "--fix")

    assert asked.returncode == 1
    assert f"FAIL\tlost jobs\t0 lost jobs made ready; not 1 job ({gone}), " in asked.stdout
    assert run.json("show", str(gone))["state"] == "lost"


def test_a_fix_without_a_search_is_refused(run: Commands) -> None:
    refused = run("doctor", "--fix")

    assert (refused.returncode, refused.stdout) == (2, "")
    assert "--fix needs --lost" in refused.stderr


def test_a_search_reports_its_progress_on_a_terminal(
    session: Session, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(listing, "PAGE", 2)
    monkeypatch.setattr(job_selection, "_REPORT_EVERY_S", 0)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    for _ in range(3):
        enqueue()

    job_selection.lost_ids(session, listing.Filter("lost"))

    assert capsys.readouterr().err == "2 jobs searched\n4 jobs searched\n"


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
