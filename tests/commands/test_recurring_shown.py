"""How recurring tasks are shown: the list, the history, and why one was late."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from system.terminal import on_a_terminal

if TYPE_CHECKING:
    from jobsd.database.connection import Session
    from system.commands import Commands


def _delay(session: Session, seconds: int) -> None:
    """Make the last run one that was planned, and enqueued, so long ago."""
    session.connection.execute(
        "UPDATE jobsd.recurring_executions SET (run_at, created_at)"
        " = (run_at - make_interval(secs => %s), created_at - make_interval(secs => %s))",
        (seconds, seconds),
    )


def test_show_and_doctor_name_the_cause_of_lateness(daily: Commands, session: Session) -> None:
    daily("recurring", "run", "daily")
    _delay(session, -60)  # however long the command takes to look
    assert daily.json("recurring", "show", "daily")["late"] is None

    _delay(session, 120)

    late = daily.json("recurring", "show", "daily")["late"]
    assert (late["cause"], "in the queue" in late["reported"]) == ("waited in queue", True)
    assert daily.json("recurring", "history", "daily")[0]["cause"] == "waited in queue"
    reported = {finding["subject"]: finding for finding in daily.json("doctor")}["recurring"]
    assert reported["level"] == "WARN"
    assert reported["message"].startswith("1 of 1 task is late: daily by 1m")


def test_doctor_names_the_task_first_that_is_later_and_counts_no_disabled_one(
    run: Commands, session: Session
) -> None:
    for key in ("disabled", "late", "later"):
        run("recurring", "add", key, "--class", "DailyCleanupJob", "--schedule", "every day")
        run("recurring", "run", key)
    run("recurring", "disable", "disabled")
    _delay(session, 120)
    session.connection.execute(
        "UPDATE jobsd.recurring_executions SET run_at = run_at - interval '1 hour',"
        " created_at = created_at - interval '1 hour' WHERE task_key = 'later'"
    )

    reported = {finding["subject"]: finding for finding in run.json("doctor")}["recurring"]

    assert re.match(r"2 of 2 tasks are late: later by 1h.*, late by 2m", reported["message"])


def test_doctor_omits_the_unknown_length_of_a_long_run(
    daily: Commands, session: Session
) -> None:
    daily("recurring", "run", "daily")
    session.connection.execute(
        "UPDATE jobsd.recurring_executions SET (outcome, job_id) = ('skipped', NULL)"
    )

    reported = {finding["subject"]: finding for finding in daily.json("doctor")}["recurring"]

    assert reported["message"].startswith("1 of 1 task is late: daily (ran long); see `")


def test_the_zone_shown_is_the_one_in_force(run: Commands) -> None:
    for key, schedule in (("own", "at 3am every day Europe/Madrid"), ("none", "@daily")):
        run("recurring", "add", key, "--class", "DailyCleanupJob", "--schedule", schedule)

    zones = [run.json("recurring", "show", key)["time_zone"] for key in ("own", "none")]

    assert zones == ["Europe/Madrid", "UTC"]
    assert ["time_zone", "Europe/Madrid"] in run.rows("recurring", "show", "own")


def test_a_task_that_no_scheduler_enqueues_is_late(daily: Commands, session: Session) -> None:
    session.connection.execute(
        "UPDATE jobsd.recurring_tasks SET planned_from = now() - interval '2 days'"
    )

    [late] = [row for row in daily.rows("recurring", "show", "daily") if row[0] == "late"]
    reported = {finding["subject"]: finding for finding in daily.json("doctor")}["recurring"]

    assert late[1].startswith("scheduler late: it was due ")
    assert late[1].endswith(" and was not enqueued, because no scheduler is running")
    assert "(scheduler late); no scheduler is running; see `" in reported["message"]


def test_a_late_task_is_not_put_down_to_a_missing_scheduler_when_one_runs(
    daily: Commands, session: Session
) -> None:
    session.connection.execute(
        "UPDATE jobsd.recurring_tasks SET planned_from = now() - interval '2 days'"
    )
    session.connection.execute(
        "INSERT INTO jobsd.processes (kind, name, pid, hostname, last_heartbeat_at)"
        " VALUES ('scheduler', 'scheduler-1', 1, 'elsewhere', now())"
    )

    [late] = [row for row in daily.rows("recurring", "show", "daily") if row[0] == "late"]
    reported = {finding["subject"]: finding for finding in daily.json("doctor")}["recurring"]

    assert late[1].endswith(" and was not enqueued, although a scheduler is running")
    assert "no scheduler" not in reported["message"]


def test_the_history_outlives_its_task(daily: Commands, session: Session) -> None:
    daily("recurring", "run", "daily")
    session.connection.execute("UPDATE jobsd.recurring_executions SET created_at = run_at")
    daily("recurring", "remove", "daily")

    [row] = daily.rows("recurring", "history", "daily")

    assert (row[4], float(row[2])) == ("ready", 0)


def test_the_list_is_laid_out_like_that_of_timers(daily: Commands) -> None:
    daily("recurring", "run", "daily")
    daily("recurring", "add", "off", "--class", "DailyCleanupJob", "--schedule", "@hourly")
    daily("recurring", "disable", "off")

    head, first, second = on_a_terminal(daily, "recurring", "list", width=160)

    columns = ["NEXT", "LEFT", "LAST", "PASSED", "KEY", "SCHEDULE", "ACTIVATES", "SOURCE"]
    assert head.split() == columns
    assert re.fullmatch(
        r"\w{3} \d{4}-\d\d-\d\d 03:00:00 UTC +\w+ left +\w{3} [0-9-]+ [0-9:]+ UTC"
        r" +[\d.]+ ?\w+ ago +daily +at 3am every day +DailyCleanupJob +-",
        first.strip(),
    )
    assert re.fullmatch(
        r"- +disabled by \S+ [\d.]+ ?\w+ ago +- +- +off +@hourly +DailyCleanupJob +-",
        second.strip(),
    )


def test_hidden_arguments_are_hidden_in_the_list_too(run: Commands) -> None:
    run.project.write(
        "config/queue.yml", "import: [shop_jobs]\njobs: {filter_arguments: [token]}\n"
    )
    call = "shop_jobs.fail(token='secret', days=3)"
    run("recurring", "add", "clean", "--command", call, "--schedule", "@daily")

    shown = run("recurring", "list").stdout + run("recurring", "list", "--json").stdout

    assert ("secret" in shown, "shop_jobs.fail" in shown) == (False, True)
