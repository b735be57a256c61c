"""Enqueue, perform, clear-finished."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lost_answers import losing

if TYPE_CHECKING:
    from jobsd.database.connection import Session
    from system.commands import Commands


_ONE_AT_A_TIME = """
from jobsd import Limit, job

@job(limits_concurrency=Limit(on_conflict="discard"))
def one(): ...
"""


def test_enqueue_prints_the_id_of_a_job_with_its_own_options(
    run: Commands, session: Session
) -> None:
    done = run("enqueue", "shop_jobs.welcome", '{"user_id": 42}')

    assert (done.returncode, done.stderr) == (0, "")
    row = session.connection.execute(
        "SELECT id, queue_name, priority, max_attempts, arguments FROM jobsd.jobs"
    ).fetchone()
    assert row == (int(done.stdout), "mail", 0, 3, {"user_id": 42})


def test_enqueue_takes_other_options(run: Commands, session: Session) -> None:
    job = run.json(
        "enqueue",
        "shop_jobs.welcome",
        "[42]",
        "--queue",
        "slow",
        "--priority",
        "-5",
        "--in",
        "1h",
    )

    row = session.connection.execute(
        "SELECT queue_name, priority, arguments FROM jobsd.jobs WHERE id = %s", (job["id"],)
    ).fetchone()
    assert job["state"] == "scheduled"
    assert row == ("slow", -5, [42])


@pytest.mark.parametrize("time", ["2100-01-01T12:00", "2100-01-01T13:00+01:00"])
def test_a_time_without_a_zone_is_in_that_of_the_configuration(
    run: Commands, time: str
) -> None:
    run.project.write("config/queue.yml", "import: [shop_jobs]\ntime_zone: Etc/UTC\n")
    job = run.json("enqueue", "DailyCleanupJob", "--at", time)

    shown = run.json("show", str(job["id"]))
    assert shown["scheduled_at"] == "2100-01-01T12:00:00+00:00"


@pytest.mark.parametrize("arguments", ['["too many"]', '{"unknown": 1}'])
def test_enqueue_checks_the_arguments_of_the_class_form(run: Commands, arguments: str) -> None:
    done = run("enqueue", "DailyCleanupJob", arguments)

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ARGS-JSON: ")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("{bad", "ARGS-JSON is not valid JSON: "),
        ("7", "ARGS-JSON must be a JSON list or object"),
    ],
)
def test_arguments_that_can_not_be_read_are_named_as_the_help_does(
    run: Commands, arguments: str, sentence: str
) -> None:
    done = run("enqueue", "DailyCleanupJob", arguments)

    assert done.returncode == 2
    assert sentence in done.stderr


def test_a_conflict_that_may_not_wait_ends_with_6(run: Commands) -> None:
    run.project.write("shop_jobs.py", _ONE_AT_A_TIME)
    assert run("enqueue", "shop_jobs.one").returncode == 0

    done = run("enqueue", "shop_jobs.one")
    assert (done.returncode, done.stdout) == (6, "")
    assert done.stderr.startswith("error: the concurrency limit is reached")
    assert run.json("enqueue", "shop_jobs.one", status=6) == {"id": None, "state": "discarded"}


@pytest.mark.parametrize(
    "arguments",
    [
        ["{"],
        ["42"],
        ['["too", "many"]'],
        ['{"$decimal": "x"}'],
        ['["a\\u0000b"]'],
        ["[1]", "--priority", "99999999999"],
        ["[1]", "--priority", "1.5"],
        ["[1]", "--queue", "a,b"],
        ["[1]", "--queue", ""],
        ["[1]", "--queue", "q" * 300],
        ["[1]", "--in", "36501d"],
        ["[1]", "--in", "-1"],
        ["[1]", "--at", "9999-12-31T00:00:00Z"],
        ["[1]", "--in", "1h", "--at", "2100-01-01"],
        ["[1]", "--at", "noon"],
    ],
)
def test_enqueue_refuses_contradictory_arguments(
    run: Commands, session: Session, arguments: list[str]
) -> None:
    done = run("enqueue", "shop_jobs.welcome", *arguments)

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")
    assert session.connection.execute("SELECT FROM jobsd.jobs").fetchone() is None


def test_the_output_of_a_module_goes_to_standard_error(run: Commands) -> None:
    run.project.write(
        "shop_jobs.py", "from jobsd import job\nprint('hello')\n@job\ndef a(): ...\n"
    )

    done = run("enqueue", "shop_jobs.a")

    assert (done.stdout.strip().isdecimal(), done.stderr) == (True, "hello\n")


def test_enqueue_of_an_unknown_job_names_the_nearest(run: Commands) -> None:
    done = run("enqueue", "DailyCleanJob")

    assert (done.returncode, done.stdout) == (5, "")
    assert "did you mean 'DailyCleanupJob'?" in done.stderr


def test_enqueue_with_a_module_that_is_broken_ends_with_78(run: Commands) -> None:
    run.project.write("shop_jobs.py", "import nowhere\n")

    done = run("enqueue", "DailyCleanupJob")

    assert (done.returncode, done.stdout) == (78, "")
    assert "shop_jobs" in done.stderr


def test_perform_runs_a_job_here_with_its_output_and_its_log(run: Commands) -> None:
    done = run("perform", "shop_jobs.welcome", "[42]")

    assert (done.returncode, done.stdout) == (0, "welcome 42\n")
    assert "greeted" in done.stderr


def test_perform_needs_no_database_unless_the_job_does(run: Commands) -> None:
    nowhere = "postgresql://me@127.0.0.1:1/db"

    assert run("perform", "DailyCleanupJob", DATABASE_URL=nowhere).returncode == 0
    assert run("perform", "HeartbeatJob", DATABASE_URL=nowhere).returncode == 1


def test_perform_of_the_heartbeat_writes_its_row_and_its_line(run: Commands) -> None:
    done = run("perform", "HeartbeatJob")

    assert done.returncode == 0, done.stderr
    assert "[HEARTBEAT]" in done.stderr
    assert len(run.rows("heartbeat", "recent")) == 1


@pytest.mark.parametrize(
    ("name", "reported"),
    [("fail", "error: ValueError: told to fail"), ("leave", "SystemExit: 3")],
)
def test_perform_ends_with_1_when_the_job_raises(
    run: Commands, name: str, reported: str
) -> None:
    done = run("perform", f"shop_jobs.{name}")

    assert done.returncode == 1
    assert reported in done.stderr
    assert f"in {name}\n" in done.stderr
    assert "Traceback" not in done.stderr
    assert "Traceback" in run("perform", f"shop_jobs.{name}", "--debug").stderr


@pytest.mark.behaviour(87)
def test_clear_finished_removes_older_jobs(run: Commands, session: Session) -> None:
    for age in ("2 hours", "2 days"):
        job_id = run.json("enqueue", "DailyCleanupJob")["id"]
        session.connection.execute(
            "UPDATE jobsd.jobs SET outcome = 'finished', created_at = now() - %s::interval,"
            " finished_at = now() - %s::interval WHERE id = %s",
            (age, age, job_id),
        )
    session.connection.execute("DELETE FROM jobsd.ready_executions")

    assert run("clear-finished", "--dry-run").stdout == "1\n"
    assert run("clear-finished").stdout == "1\n"
    assert run("clear-finished", "--class", "other", "--older-than", "1h").stdout == "0\n"
    dry = run.json("clear-finished", "--older-than", "1h", "--dry-run")
    assert dry == {"dry_run": True, "jobs": 1}
    assert run.json("clear-finished", "--older-than", "1h", "--batch", "1") == {"cleared": 1}


def test_clear_finished_follows_the_configuration(run: Commands, session: Session) -> None:
    run.project.write("config/queue.yml", "jobs: {clear_finished_jobs_after: 0}\n")
    session.connection.execute(
        "INSERT INTO jobsd.jobs (queue_name, class_name, outcome, finished_at)"
        " VALUES ('a', 'b', 'finished', now())"
    )

    assert run("clear-finished").stdout == "1\n"


def test_clear_finished_with_a_lost_answer_reports_that_it_may_have_been_done(
    run: Commands, session: Session
) -> None:
    session.connection.execute(
        "INSERT INTO jobsd.jobs (queue_name, class_name, outcome, finished_at)"
        " VALUES ('a', 'b', 'finished', now() - interval '2 days')"
    )

    with losing(session.target) as (way, target):
        way.lose(b"DELETE FROM")
        done = run("clear-finished", DATABASE_URL=target.url)
    left = session.connection.execute("SELECT count(*) FROM jobsd.jobs").fetchone()

    assert (done.returncode, done.stdout, way.lost, left) == (4, "", 1, (0,))
    assert done.stderr.splitlines()[-1] == (
        "hint: it may have been done, although no answer came; it is safe to repeat it"
    )


@pytest.mark.parametrize(
    "arguments",
    [["--class", ""], ["--batch", "0"], ["--older-than", "-1"], ["--sleep", "soon"]],
    ids=" ".join,
)
def test_clear_finished_refuses_impossible_arguments(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    from jobsd.daemon.cli import cli

    status = cli.run(["clear-finished", *arguments])

    reported = capsys.readouterr()
    assert (status, reported.out) == (2, "")
    assert reported.err.startswith("error: ")


def test_a_key_that_can_not_be_had_is_reported_and_stores_nothing(
    run: Commands, session: Session
) -> None:
    run.project.write(
        "shop_jobs.py",
        "from jobsd import Limit, job\n\n"
        "@job(limits_concurrency=Limit(key=lambda n: 1 // n))\ndef divide(n): ...\n",
    )

    done = run("enqueue", "shop_jobs.divide", "[0]")

    assert (done.returncode, done.stdout) == (2, "")
    assert "the key of limits_concurrency raised ZeroDivisionError" in done.stderr
    assert "Traceback" not in done.stderr
    assert session.connection.execute("SELECT FROM jobsd.jobs").fetchone() is None


def test_show_takes_several_jobs(run: Commands) -> None:
    first, second = (run("enqueue", "shop_jobs.welcome", f"[{n}]").stdout.strip() for n in "12")

    one, both = run.json("show", first), run.json("show", first, second)

    assert (one["id"], [each["id"] for each in both]) == (int(first), [int(first), int(second)])
    refused = run("show", first, "999999")
    assert (refused.returncode, refused.stdout) == (5, ""), refused.stderr
    assert "999999" in refused.stderr
