"""Retry and discard by commands: some jobs by their ids, or all that pass the filters."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import refused
from enqueueing.placed import claim, enqueue, fail
from harness.job_rows import places
from jobsd.processes import registry
from lost_answers import losing

if TYPE_CHECKING:
    from jobsd.database.connection import Session
    from system.commands import Commands


pytestmark = pytest.mark.usefixtures("default_client")


def test_retry_prints_the_number_of_retried_jobs(run: Commands, session: Session) -> None:
    first, second = enqueue(), enqueue()
    fail(session, first, second)

    done = run("retry", str(first), str(second), str(first))

    assert (done.returncode, done.stdout, done.stderr) == (0, "2\n", "")
    assert places(session) == {first: "ready", second: "ready"}


def test_a_retry_with_a_lost_answer_reports_that_it_may_have_been_done(
    run: Commands, session: Session
) -> None:
    failed = enqueue()
    fail(session, failed)

    with losing(session.target) as (way, target):
        way.lose(b"COMMIT")
        done = run("retry", str(failed), DATABASE_URL=target.url)
    again = run("retry", str(failed))

    assert (done.returncode, done.stdout, way.lost) == (4, "", 1)
    assert done.stderr.splitlines()[-1] == (
        "hint: it may have been done, although no answer came; it is safe to repeat it"
    )
    assert places(session) == {failed: "ready"}
    assert again.stderr == f"error: job {failed} has not failed: it is ready\n"


def test_an_enqueue_with_a_lost_answer_may_have_been_done(
    run: Commands, session: Session
) -> None:
    with losing(session.target) as (way, target):
        way.lose(b"INSERT INTO")
        done = run("enqueue", "HeartbeatJob", DATABASE_URL=target.url)

    assert (done.returncode, done.stdout, way.lost) == (4, "", 1)
    assert done.stderr.splitlines()[-1] == (
        "hint: look whether the job was enqueued before you enqueue it again"
    )
    assert list(places(session).values()) == ["ready"]


def test_retry_goes_through_limits(run: Commands, session: Session) -> None:
    jobs: list[int] = []
    for _ in range(2):
        jobs.append(enqueue(key="a"))
        fail(session, jobs[-1])

    assert run.json("retry", *map(str, jobs)) == {
        "retried": 2,
        "ready": 2,
        "blocked": 0,
        "refused": [],
        "not_found": [],
    }
    assert places(session) == dict.fromkeys(jobs, "ready")
    waiting = session.connection.execute("SELECT job_id FROM jobsd.blocked_executions")
    assert sorted(waiting.fetchall()) == [(each,) for each in jobs]


def test_retry_takes_the_failed_jobs_and_reports_the_others(
    run: Commands, session: Session
) -> None:
    failed, ready = enqueue(), enqueue()
    fail(session, failed)

    done = run("retry", str(ready), str(failed))
    assert (done.returncode, done.stdout) == (6, "1\n")
    assert done.stderr == f"error: job {ready} has not failed: it is ready\n"
    assert run.json("retry", str(ready), "4711", status=5) == {
        "retried": 0,
        "ready": 0,
        "blocked": 0,
        "refused": [{"id": ready, "reason": f"job {ready} has not failed: it is ready"}],
        "not_found": [4711],
    }


@pytest.mark.parametrize("verb", ["retry", "discard"])
def test_a_job_that_there_is_not_ends_with_5(run: Commands, verb: str) -> None:
    done = run(verb, "4711", "4711")

    assert (done.returncode, done.stdout) == (5, "")
    assert done.stderr == "error: there is no job 4711\n"


def test_many_are_retried_with_consent_only(run: Commands, session: Session) -> None:
    jobs = [enqueue() for _ in range(2)]
    fail(session, *jobs, enqueue("other"))

    refused = run("retry", "--all", "--queue", "mail")
    assert (refused.returncode, refused.stdout) == (6, "")
    assert refused.stderr == "error: refusing to retry 2 failed jobs without --yes\n"
    assert run.json("retry", "--all", "--queue", "mail", "--yes") == {
        "retried": 2,
        "ready": 2,
        "blocked": 0,
        "skipped": 0,
    }
    assert run("retry", "--all", "--state", "failed", "--yes").stdout == "1\n"


@pytest.mark.parametrize("verb", ["retry", "discard"])
def test_a_selection_of_no_jobs_needs_no_consent(run: Commands, verb: str) -> None:
    done = run(verb, "--all", "--class", "nobody")

    assert (done.returncode, done.stdout, done.stderr) == (0, "0\n", "")


def test_discard_drops_from_every_state_but_claimed(run: Commands, session: Session) -> None:
    jobs = [enqueue(wait="1h"), enqueue(), enqueue(key="a"), enqueue(key="a")]
    fail(session, jobs[1])
    claimed = enqueue()
    process = registry.register(
        session, kind="worker", name="worker-7", supervisor_id=0, metadata={}
    )
    claim(session, process, claimed)

    done = run("discard", *map(str, [*jobs, claimed]))

    assert (done.returncode, done.stdout) == (6, "4\n")
    assert f"job {claimed} can't be discarded while it is claimed by worker-7" in done.stderr
    assert places(session) == {**dict.fromkeys(jobs, "discarded"), claimed: "claimed"}
    assert f"job {jobs[0]} is discarded already" in run("discard", str(jobs[0])).stderr


def test_discard_keeps_nothing_when_finished_jobs_are_not_kept(
    run: Commands, session: Session
) -> None:
    run.project.write("config/queue.yml", "jobs: {preserve_finished_jobs: false}\n")
    job_id = enqueue()

    assert run.json("discard", str(job_id)) == {
        "discarded": 1,
        "refused": [],
        "not_found": [],
    }
    assert session.connection.execute("SELECT FROM jobsd.jobs").fetchone() is None


def test_many_are_discarded_with_consent_only(run: Commands, session: Session) -> None:
    ready, later = enqueue(), enqueue(wait="1h")

    refused = run("discard", "--all", "--state", "scheduled")
    assert (refused.returncode, refused.stdout) == (6, "")
    assert refused.stderr == "error: refusing to discard 1 scheduled job without --yes\n"
    assert run.json("discard", "--all", "--state", "scheduled", "--yes") == {
        "discarded": 1,
        "skipped": 0,
    }
    assert places(session) == {ready: "ready", later: "discarded"}
    assert run("discard", "--all").stderr == "error: refusing to discard 1 job without --yes\n"


@pytest.mark.parametrize(
    ("arguments", "reported"),
    [
        ("retry --all --state ready --yes", "ready jobs have not failed"),
        ("discard --all --state claimed --yes", "cancel them instead"),
        ("discard --all --state finished --yes", "they have ended"),
    ],
)
def test_a_state_that_the_command_can_not_change_is_refused(
    run: Commands, arguments: str, reported: str
) -> None:
    done = run(*arguments.split())

    assert (done.returncode, done.stdout) == (6, "")
    assert reported in done.stderr


@pytest.mark.parametrize("verb", ["retry", "discard", "cancel"])
@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["1", "--all"],
        ["1", "--queue", "mail"],
        ["1", "--state", "failed"],
        ["1", "--class", "app.mail"],
        ["1", "--error", "SMTP"],
        ["1", "--since", "1h"],
        ["1", "--limit", "3"],
        ["0"],
        ["-1"],
        ["9223372036854775808"],
        ["seven"],
        ["1.5"],
        *(["--all", *arguments] for arguments in refused.FILTERS),
    ],
    ids=" ".join,
)
def test_impossible_arguments_end_with_2(
    verb: str,
    arguments: list[str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from jobsd.daemon.cli import cli

    # What is meant all the same finds no database, and starts none here.
    monkeypatch.setenv("DATABASE_URL", "postgresql://127.0.0.1:1/nothing")
    status = cli.run([verb, *arguments])

    reported = capsys.readouterr()
    assert (status, reported.out) == (2, "")
    assert reported.err.startswith("error: ")


def test_progress_is_reported_on_a_terminal_only(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from jobsd.daemon.cli import job_selection

    monkeypatch.setattr(job_selection, "_REPORT_EVERY_S", 0)
    for terminal in (False, True):
        monkeypatch.setattr("sys.stderr.isatty", lambda terminal=terminal: terminal)
        progress = job_selection.Progress("retried", 1000)
        progress.add(500)

    assert capsys.readouterr().err == "500 of 1,000 retried\n"
    assert (progress.count, progress.skipped) == (500, 500)


def test_a_user_at_a_terminal_is_asked_for_consent(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from jobsd.daemon.cli.job_selection import consent
    from jobsd.errors import RefusedError

    def confirm(what: str, *, err: bool) -> bool:
        return err and "2 failed jobs" not in what

    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("click.confirm", confirm)

    consent("retry", 1, "failed", yes=False)
    with pytest.raises(RefusedError, match="cancelled"):
        consent("retry", 2, "failed", yes=False)
    consent("retry", 2, "failed", yes=True)
    consent("retry", 0, "failed", yes=False)
    assert capsys.readouterr().out == ""
