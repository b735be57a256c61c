"""Recurring tasks by commands: looked at, run, made, switched, explained."""

from __future__ import annotations

import json
import subprocess
from datetime import datetime
from typing import TYPE_CHECKING

import pytest

from harness.tree import COMMAND

if TYPE_CHECKING:
    from jobsd.database.connection import Session
    from system.commands import Commands

_DAILY = ("add", "daily", "--class", "DailyCleanupJob", "--schedule", "at 3am every day")


def _make_static(session: Session) -> None:
    session.connection.execute(
        "UPDATE jobsd.recurring_tasks SET static = true, source = 'config/recurring.yml:4'"
    )


def test_list_shows_the_tasks_of_the_table(daily: Commands) -> None:
    [task] = daily.json("recurring", "list")

    assert (task["key"], task["schedule"]) == ("daily", "at 3am every day")
    assert (task["class_name"], task["static"], task["enabled"]) == (
        "DailyCleanupJob",
        False,
        True,
    )
    assert datetime.fromisoformat(task["next_run"]).hour == 3
    (row,) = daily.rows("recurring")
    assert row[2:] == ["", "", "daily", "at 3am every day", "DailyCleanupJob", ""]
    assert 0 < float(row[1]) <= 86400


def test_show_and_list_have_the_tags_of_a_task(daily: Commands, session: Session) -> None:
    session.connection.execute("UPDATE jobsd.recurring_tasks SET tags = '{billing,eu}'")

    assert daily.json("recurring", "show", "daily")["tags"] == ["billing", "eu"]
    assert daily.json("recurring", "list")[0]["tags"] == ["billing", "eu"]
    assert ["tags", '["billing", "eu"]'] in daily.rows("recurring", "show", "daily")


def test_show_has_the_next_and_the_last_runs(daily: Commands) -> None:
    daily("recurring", "run", "daily")

    shown = daily.json("recurring", "show", "daily")
    act = daily.json("audit")[0]

    assert (act["act"], act["target"], act["jobs"]) == ("run", "task daily", 1)
    assert len(shown["next_runs"]) == 5
    assert [run["outcome"] for run in shown["history"]] == ["ready"]
    assert ["key", "daily"] in daily.rows("recurring", "show", "daily")


def test_an_unknown_key_ends_with_5_and_the_nearest(daily: Commands) -> None:
    for verb in ("show", "next", "run", "history", "remove", "enable"):
        assert daily("recurring", verb, "\udcff").returncode == 5
        done = daily("recurring", verb, "dayly")
        assert (done.returncode, done.stdout) == (5, "")
        assert "did you mean 'daily'?" in done.stderr


def test_next_lists_as_many_as_asked_for(daily: Commands) -> None:
    rows = daily.rows("recurring", "next", "daily", "-n", "3")

    assert [datetime.fromisoformat(row[0]).hour for row in rows] == [3, 3, 3]
    assert daily.json("recurring", "next", "daily", "-n", "3") == [row[0] for row in rows]


def test_run_enqueues_now_and_is_in_the_history(daily: Commands) -> None:
    job_id = daily("recurring", "run", "daily").stdout.strip()

    assert daily.json("show", job_id)["class_name"] == "DailyCleanupJob"
    [run] = daily.json("recurring", "history", "daily")
    assert (str(run["job_id"]), run["outcome"]) == (job_id, "ready")


def test_a_task_is_made_with_all_settings(run: Commands) -> None:
    made = run.json(
        "recurring",
        "add",
        "greet",
        "--class",
        "shop_jobs.welcome",
        "--args",
        '[1, {"polite": false}]',
        "--schedule",
        "every hour",
        "--queue",
        "slow",
        "--priority",
        "-1",
        "--description",
        "greets",
        "--time-zone",
        "Europe/Madrid",
        "--on-missed",
        "once",
        "--overlap",
        "skip",
        "--tag",
        "eu",
        "--tag",
        "a, b",
    )

    assert made["tags"] == ["eu", "a, b"]
    assert (made["queue_name"], made["priority"], made["description"]) == ("slow", -1, "greets")
    assert (made["time_zone"], made["on_missed"], made["overlap"]) == (
        "Europe/Madrid",
        "once",
        "skip",
    )
    assert made["arguments"] == [1, {"$keywords": {"polite": False}}]


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (_DAILY, 6),
        (("add", "x", "--class", "Nope", "--schedule", "every day"), 5),
        (("add", "x", "--class", "DailyCleanupJob", "--schedule", "soon"), 2),
        (
            (
                "add",
                "x",
                "--class",
                "DailyCleanupJob",
                "--schedule",
                "every day",
                "--args",
                "{",
            ),
            2,
        ),
        (("add", "x", "--schedule", "every day"), 2),
        (
            (
                "add",
                "x",
                "--class",
                "DailyCleanupJob",
                "--schedule",
                "every day",
                "--args",
                "[1]",
            ),
            2,
        ),
        (("add", "x", "--command", "os.system('true')", "--schedule", "every day"), 6),
        (("add", "x", "--command", "shop_jobs.sys.exit()", "--schedule", "every day"), 6),
        (("add", "x", "--command", "shop_jobs.no()", "--schedule", "every day"), 5),
        (("add", "x", "--command", "import os", "--schedule", "every day"), 2),
    ],
)
def test_add_refuses_impossible_arguments(
    daily: Commands, arguments: tuple[str, ...], status: int
) -> None:
    done = daily("recurring", *arguments)

    assert (done.returncode, done.stdout) == (status, "")
    assert done.stderr.startswith("error: ")
    assert len(daily.json("recurring")) == 1


def test_a_command_may_call_functions_of_the_modules_and_of_jobsd(run: Commands) -> None:
    for key, call in (
        ("ours", "jobsd.clear_finished_in_batches()"),
        ("job", "shop_jobs.welcome(1)"),
        ("class", "shop_jobs.DailyCleanupJob()"),
    ):
        done = run("recurring", "add", key, "--command", call, "--schedule", "every day")
        assert (done.returncode, done.stdout) == (0, f"{key}\n")


def test_a_task_is_switched_off_and_on_and_removed(daily: Commands) -> None:
    assert daily("recurring", "disable", "daily").returncode == 0
    assert daily.json("recurring")[0]["next_run"] is None
    assert daily("recurring", "enable", "daily").returncode == 0
    assert daily.json("recurring")[0]["enabled"] is True
    assert daily("recurring", "remove", "daily").returncode == 0
    assert daily.json("recurring") == []


def test_what_changes_a_task_reports_it_as_json(daily: Commands) -> None:
    off, on = (daily.json("recurring", verb, "daily") for verb in ("disable", "enable"))

    assert off == {"key": "daily", "enabled": False}
    assert on == {"key": "daily", "enabled": True}
    assert daily.json("recurring", "remove", "daily") == {"key": "daily"}
    acts = [(row["act"], row["target"], row["via"]) for row in daily.json("audit")]
    assert acts[:3] == [
        (verb, "task daily", "command") for verb in ("remove", "enable", "disable")
    ]


@pytest.mark.behaviour(84)
def test_a_task_of_a_file_is_disabled_and_shown_so(daily: Commands, session: Session) -> None:
    _make_static(session)

    off = daily("recurring", "disable", "daily")
    shown = daily.json("recurring", "show", "daily")
    ((left, *_),) = [row[1:] for row in daily.rows("recurring")]
    on = daily("recurring", "enable", "daily")

    assert (off.returncode, on.returncode) == (0, 0)
    assert (shown["enabled"], shown["next_runs"]) == (False, [])
    assert "@" in shown["disabled_by"]
    assert left.startswith(f"disabled by {shown['disabled_by']} ")
    assert daily.json("recurring", "show", "daily")["disabled_at"] is None


@pytest.mark.behaviour(84)
@pytest.mark.parametrize("verb", ["remove", "enable"])
def test_a_task_of_a_file_can_not_be_changed(
    daily: Commands, session: Session, verb: str
) -> None:
    _make_static(session)
    session.connection.execute("UPDATE jobsd.recurring_tasks SET enabled = false")

    done = daily("recurring", verb, "daily")

    assert done.returncode == 6
    assert "config/recurring.yml:4" in done.stderr


def test_explain_gives_cron_zone_and_next_runs(run: Commands) -> None:
    explained = run.json(
        "recurring",
        "explain",
        "at 5am every day",
        "--from",
        "2026-01-01T00:00:00Z",
        "-n",
        "2",
    )

    assert explained == {
        "accepted": True,
        "schedule": "at 5am every day",
        "cron": "0 5 * * *",
        "time_zone": "UTC",
        "next": ["2026-01-01T05:00:00+00:00", "2026-01-02T05:00:00+00:00"],
    }


def test_explain_needs_no_database(run: Commands) -> None:
    nowhere = {"DATABASE_URL": "postgresql://me@127.0.0.1:1/db"}

    rows = run("recurring", "explain", "every 5 minutes", **nowhere).stdout.splitlines()

    assert rows[1] == "cron\t*/5 * * * *"


def test_explain_shows_the_warnings_of_a_schedule(run: Commands) -> None:
    done = run("recurring", "explain", "every 7 minutes", "-n", "0")

    assert done.stdout.splitlines()[-1].startswith(
        "warning\tevery 7 minutes means minute 0, 7,"
    )


def test_a_refused_phrase_is_explained_and_ends_with_1(run: Commands) -> None:
    done = run("recurring", "explain", "every blue moon")

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[0].startswith("error: ")
    assert done.stderr.splitlines()[1].startswith("hint: ")
    refused = run.json("recurring", "explain", "every blue moon", status=1)
    assert set(refused) == {"accepted", "error", "hint"}
    assert refused["accepted"] is False


@pytest.mark.behaviour(83)
def test_the_default_zone_is_that_of_the_configuration(run: Commands) -> None:
    run.project.write("config/queue.yml", "time_zone: Europe/Madrid\n")

    assert run.json("recurring", "explain", "every day")["time_zone"] == "Europe/Madrid"
    assert (
        run.json("recurring", "explain", "every day", "--time-zone", "UTC")["time_zone"]
        == "UTC"
    )
    run.project.write("config/queue.yml", "wrokers: []\n")
    assert run.json("recurring", "explain", "every day")["time_zone"] == "UTC"


def test_phrases_come_one_a_line_from_stdin(run: Commands) -> None:
    done = subprocess.run(
        [*COMMAND, "recurring", "explain", "-", "--json"],
        cwd=run.project.root,
        env=run.project.environ,
        input="every hour\n\nevery blue moon\n@daily",
        capture_output=True,
        text=True,
        check=False,
    )

    reported = [json.loads(line) for line in done.stdout.splitlines()]
    assert [each["accepted"] for each in reported] == [True, False, False, True]
    assert done.returncode == 1


def test_a_run_that_its_limit_refuses_ends_with_6(run: Commands) -> None:
    limited = """
from jobsd import Job, Limit

class AloneJob(Job):
    limits_concurrency = Limit(to=1, on_conflict="discard")
    def perform(self) -> None:
        pass
"""
    run.project.write("shop_jobs.py", limited)
    run("recurring", "add", "alone", "--class", "AloneJob", "--schedule", "@daily")

    first, second = (run("recurring", "run", "alone") for _ in range(2))

    assert (first.returncode, second.returncode, second.stdout) == (0, 6, "")
    assert "limit" in second.stderr
    outcomes = [row["outcome"] for row in run.json("recurring", "history", "alone")]
    assert outcomes == ["discarded", "ready"]


def test_a_task_that_is_run_here_ends_with_1_when_it_raises(run: Commands) -> None:
    run.project.write(
        "config/recurring.yml", "break: {class: shop_jobs.fail, schedule: daily}\n"
    )

    broken = run("recurring", "run", "break", "--here")
    absent = run("recurring", "run", "absent", "--here")

    assert (broken.returncode, "error: ValueError: told to fail" in broken.stderr) == (1, True)
    assert (absent.returncode, absent.stderr.splitlines()[0]) == (
        5,
        "error: config/recurring.yml has no task 'absent', and no job has its schedule",
    )
    assert run.rows("list") == []
