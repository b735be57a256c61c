"""List and show: which jobs there are, and all that is known of one."""

from __future__ import annotations

import os
from datetime import datetime
from typing import TYPE_CHECKING

import pytest

from enqueueing.placed import claim, fail
from jobsd.clock import utc_now
from jobsd.machine import hostname
from jobsd.processes import registry

if TYPE_CHECKING:
    from harness.project import Project
    from jobsd.database.connection import Session
    from system.commands import Commands


_ONE_AT_A_TIME = """
from jobsd import Limit, job

@job(limits_concurrency=Limit(on_conflict="discard"))
def one(): ...
"""

_TAGGED = """
from jobsd import job

@job(tags=("billing", "eu"))
def bill(): ...
"""


def test_list_shows_the_newest_first(run: Commands) -> None:
    ids = [run("enqueue", "shop_jobs.welcome", f"[{n}]").stdout.strip() for n in (1, 2)]

    rows = run.rows("list")
    assert [row[0] for row in rows] == ids[::-1]
    assert rows[0][1:5] == ["shop_jobs.welcome", "mail", "ready", "0"]
    assert rows[0][6] == "[2]"


def test_list_takes_the_search_of_the_dashboard(run: Commands, session: Session) -> None:
    first, second = (run.json("enqueue", "shop_jobs.welcome", f"[{n}]")["id"] for n in (1, 2))
    fail(session, second)

    def ids(*words: str) -> list[int]:
        return [row["id"] for row in run.json("list", *words)]

    assert ids("class:shop_jobs.*", "state:ready") == ids("queue:mail state:ready") == [first]
    assert ids("told to fail") == ids("state:ready", "--state", "failed") == [second]
    refused = run("list", "colour:red")
    assert refused.returncode == 2
    assert "can't be searched" in refused.stderr


def test_list_filters(run: Commands, session: Session) -> None:
    welcome = run.json("enqueue", "shop_jobs.welcome", "[1]")["id"]
    cleanup = run.json("enqueue", "DailyCleanupJob")["id"]
    later = run.json("enqueue", "DailyCleanupJob", "--in", "1h")["id"]
    failed = run.json("enqueue", "shop_jobs.fail")["id"]
    fail(session, failed)
    session.connection.execute(
        "UPDATE jobsd.jobs SET created_at = now() - interval '2 hours' WHERE id = %s",
        (welcome,),
    )

    def ids(*filters: str) -> list[int]:
        return [job["id"] for job in run.json("list", *filters)]

    assert ids("--queue", "mail") == [welcome]
    assert ids("--class", "DailyCleanupJob") == [later, cleanup]
    assert ids("--state", "failed") == [failed]
    assert ids("--state", "scheduled") == [later]
    assert ids("--state", "ready") == [cleanup, welcome]
    assert ids("--state", "ready", "--limit", "1") == [cleanup]
    assert ids("--state", "claimed") == ids("--state", "finished") == []
    assert ids("--since", "1h") == [failed, later, cleanup]
    assert ids("queue:mail") == ids("after:3h", "welcome") == [welcome]
    assert ids("class:Daily* state:ready") == [cleanup]
    assert ids("class:Daily*", "--state", "scheduled") == [later]
    refused = run("list", "state:no", "colour:red", "--json")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert [job["state"] for job in run.json("list")] == [
        "failed",
        "scheduled",
        "ready",
        "ready",
    ]


def test_list_merges_the_jobs_of_several_states(run: Commands, session: Session) -> None:
    failed, ready, later, failed_too = (
        run.json("enqueue", "shop_jobs.welcome", f"[{n}]", *wait)["id"]
        for n, wait in enumerate(((), (), ("--in", "1h"), ()))
    )
    for each in (failed, failed_too):
        fail(session, each)

    def ids(*words: str) -> list[int]:
        return [row["id"] for row in run.json("list", *words)]

    assert ids("--state", "scheduled,FAILED,failed") == [failed_too, later, failed]
    assert ids("--state", "failed,ready,scheduled", "-n", "3") == [failed_too, later, ready]
    assert ids("--state", "failed,scheduled", "state:ready") == [failed_too, later, failed]
    header = run("list", "--state", "failed,scheduled", "--header").stdout.splitlines()[0]
    assert header.split("\t")[-2:] == ["error", "scheduled_at"]


@pytest.mark.parametrize(
    "words", [("list", "--state", "failed,"), ("list", "--state", "failed,no")]
)
def test_each_of_several_states_must_be_one(run: Commands, words: tuple[str, ...]) -> None:
    refused = run(*words)
    assert refused.returncode == 2
    assert "is not one of 'scheduled', 'ready'" in refused.stderr


def test_only_list_takes_several_states(run: Commands) -> None:
    run("enqueue", "shop_jobs.welcome", "[1]")
    for verb in ("retry", "discard", "cancel"):
        refused = run(verb, "--all", "--state", "failed,ready", "--yes")
        assert refused.returncode == 2
        assert "only list takes several states" in refused.stderr
    assert len(run.rows("list", "--state", "ready")) == 1


def test_list_of_a_state_shows_its_own_last_column(run: Commands, session: Session) -> None:
    failed = run.json("enqueue", "shop_jobs.fail")["id"]
    fail(session, failed)
    run.json("enqueue", "DailyCleanupJob", "--at", "2100-01-01T12:00:00+00:00")
    done = run.json("enqueue", "DailyCleanupJob")["id"]
    session.connection.execute("DELETE FROM jobsd.ready_executions")
    session.connection.execute(
        "UPDATE jobsd.jobs SET outcome = 'finished', finished_at = '2000-01-01Z' WHERE id = %s",
        (done,),
    )

    last = {
        state: run.rows("list", "--state", state)[0][-1]
        for state in ("failed", "scheduled", "finished")
    }

    assert last == {
        "failed": "ValueError: told to fail",
        "scheduled": "2100-01-01T12:00:00+00:00",
        "finished": "2000-01-01T00:00:00+00:00",
    }
    [job] = run.json("list", "--state", "failed")
    assert job["error"] == {"type": "ValueError", "message": "told to fail"}
    [job] = run.json("list", "--state", "scheduled")
    assert (job["scheduled_at"], job["error"]) == ("2100-01-01T12:00:00+00:00", None)


@pytest.fixture
def claimed(run: Commands, session: Session) -> int:
    """A job that a worker has claimed an hour ago."""
    worker = registry.register(
        session, kind="worker", name="worker-1", supervisor_id=0, metadata={}
    )
    job_id = int(run.json("enqueue", "DailyCleanupJob")["id"])
    claim(session, worker, job_id)
    session.connection.execute("UPDATE jobsd.claims SET created_at = now() - interval '1 hour'")
    return job_id


def test_list_of_claimed_jobs_shows_their_time_and_process(run: Commands, claimed: int) -> None:
    [row] = run.rows("list", "--state", "claimed")

    since, by = row[7:9]
    assert (row[0], by) == (str(claimed), f"pid {os.getpid()} on {hostname()}, worker-1")
    assert 3600 <= (utc_now() - datetime.fromisoformat(since)).total_seconds() < 3660


def test_list_of_claimed_jobs_marks_a_process_that_no_longer_exists(
    run: Commands, session: Session, claimed: int
) -> None:
    session.connection.execute("DELETE FROM jobsd.processes")

    [row] = run.rows("list", "--state", "claimed")

    assert (row[0], row[8].split(maxsplit=2)[2]) == (str(claimed), "which no longer exists")


@pytest.mark.parametrize("filters", [(), ("--state", "claimed")], ids=["all", "claimed"])
def test_list_reports_the_claiming_process_as_json(
    run: Commands, claimed: int, filters: tuple[str, ...]
) -> None:
    waiting = run.json("enqueue", "DailyCleanupJob", "--in", "1h")["id"]

    jobs = {job["id"]: job for job in run.json("list", *filters)}

    reported = jobs[claimed]
    assert (reported["state"], reported["process"], reported["pid"]) == (
        "claimed",
        "worker-1",
        os.getpid(),
    )
    assert jobs.get(waiting, {"claimed_at": None})["claimed_at"] is None


def test_show_reports_the_time_and_process_of_a_claim(run: Commands, claimed: int) -> None:
    shown = run.json("show", str(claimed))

    [listed] = run.json("list", "--state", "claimed")
    names = ("claimed_at", "process_id", "process", "pid", "hostname")
    assert {name: shown[name] for name in names} == {name: listed[name] for name in names}
    assert (shown["pid"], shown["hostname"]) == (os.getpid(), hostname())
    assert ["claimed_at", shown["claimed_at"]] in run.rows("show", str(claimed))


def test_list_reports_how_far_it_has_searched(
    session: Session,
    project: Project,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from jobsd.acts import listing
    from jobsd.daemon.cli import cli
    from jobsd.enqueueing import client

    monkeypatch.setattr(listing, "SEARCH_MAX", 100)
    monkeypatch.setattr(listing, "PAGE", 100)
    monkeypatch.chdir(project.root)
    session.connection.execute(
        "INSERT INTO jobsd.jobs (queue_name, class_name, outcome, finished_at)"
        " SELECT 'mail', 'nothing', 'finished', now() FROM generate_series(1, 201)"
    )

    status = cli.run(
        ["list", "--queue", "rare", "--database-url", session.target.url, "--json"]
    )
    client.configure()

    reported = capsys.readouterr()
    assert (status, reported.out) == (0, "[]\n")
    assert reported.err.startswith("searched the newest 100 jobs, enqueued ")
    assert "--since" in reported.err


def test_a_filtered_argument_is_never_shown(run: Commands) -> None:
    run.project.write(
        "config/queue.yml", "import: [shop_jobs]\njobs: {filter_arguments: [user_id]}\n"
    )
    job = run.json("enqueue", "shop_jobs.welcome", '{"user_id": 4711, "polite": false}')

    shown = {"user_id": "[FILTERED]", "polite": False}
    assert run.json("show", str(job["id"]))["arguments"] == shown
    assert run.json("list")[0]["arguments"] == shown


def test_show_reports_what_went_wrong(run: Commands, session: Session) -> None:
    job_id = run.json("enqueue", "shop_jobs.fail")["id"]
    fail(session, job_id)

    shown = run.json("show", str(job_id))
    assert (
        list(shown)
        == (
            "id class_name queue_name priority state arguments attempts max_attempts created_at"
            " scheduled_at started_at finished_at errors why reason error result progress"
        ).split()
    )
    assert (shown["state"], shown["attempts"], shown["why"]) == ("failed", 1, [])
    assert shown["max_attempts"] == 1
    assert [(e["attempt"], e["type"], e["message"]) for e in shown["errors"]] == [
        (1, "ValueError", "told to fail")
    ]
    assert datetime.fromisoformat(shown["created_at"]).tzinfo is not None
    rows = run.rows("show", str(job_id))
    assert ["state", "failed"] in rows
    [(name, reported), stack] = rows[-2:]
    assert name == "error"
    assert reported.startswith("attempt 1 in worker-1, at 20")
    assert reported.endswith("+00:00: ValueError: told to fail")
    assert stack == ["error", "File …"]


def test_show_has_the_errors_of_all_attempts(run: Commands, session: Session) -> None:
    job_id = run.json("enqueue", "shop_jobs.fail")["id"]
    fail(session, job_id)
    session.connection.execute(
        "INSERT INTO jobsd.attempts (job_id, attempt, process, ended_at, error)"
        " SELECT job_id, 2, 'worker-2', now(), jsonb_set(error, '{message}', '\"again\"')"
        " FROM jobsd.attempts"
    )

    errors = run.json("show", str(job_id))["errors"]
    assert [(e["attempt"], e["message"]) for e in errors] == [(1, "told to fail"), (2, "again")]
    lines = [row[1] for row in run.rows("show", str(job_id)) if row[0] == "error"]
    reported = [line for line in lines if line.startswith("attempt")]
    assert [line.split(",")[0] for line in reported] == [
        "attempt 1 in worker-1",
        "attempt 2 in worker-2",
    ]


def test_show_reports_the_limit_and_the_process_of_a_job(
    run: Commands, session: Session
) -> None:
    run.project.write("shop_jobs.py", _ONE_AT_A_TIME)
    job_id = run.json("enqueue", "shop_jobs.one")["id"]
    session.connection.execute("DELETE FROM jobsd.blocked_executions")
    session.connection.execute(
        "INSERT INTO jobsd.claims (process_id, job_ids) VALUES (7, %s)", ([job_id],)
    )

    shown = run.json("show", str(job_id))

    assert (shown["concurrency_key"], shown["concurrency_limit"]) == ("shop_jobs.one", 1)
    assert (shown["state"], shown["process_id"], shown["process"]) == ("claimed", 7, None)
    assert [reason["reason"] for reason in shown["why"]] == ["process_lost"]


def test_show_has_the_tags_of_a_job_and_its_document_too(run: Commands) -> None:
    run.project.write("shop_jobs.py", _TAGGED)
    job_id = str(run.json("enqueue", "shop_jobs.bill")["id"])

    assert run.json("show", job_id)["tags"] == ["billing", "eu"]
    assert 'tags\t["billing", "eu"]\n' in run("show", job_id).stdout


def test_a_tag_selects_jobs_for_lists_and_acts(run: Commands) -> None:
    run.project.write("shop_jobs.py", _TAGGED)
    tagged = run.json("enqueue", "shop_jobs.bill")["id"]
    run("enqueue", "heartbeat")

    assert [row["id"] for row in run.json("list", "--tag", "eu")] == [tagged]
    assert [row["id"] for row in run.json("list", "tag:billing")] == [tagged]
    assert run.json("list", "tag:billing", "--tag", "eu") == run.json("list", "--tag", "eu")
    for pair in (["us", "eu"], ["eu", "us"]):
        tags = [word for tag in pair for word in ("--tag", tag)]
        assert run.json("list", *tags) == run.json("list", f"tag:{pair[0]}", *tags[2:]) == []
        assert run.json("discard", "--all", *tags, "--dry-run")["ids"] == []
    assert run.json("discard", "--all", "--tag", "eu", "--dry-run")["ids"] == [tagged]


def test_show_of_no_job_ends_with_5(run: Commands) -> None:
    done = run("show", "4711")

    assert (done.returncode, done.stdout) == (5, "")
