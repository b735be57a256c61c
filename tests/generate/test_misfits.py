"""Recurring tasks that fit neither the jobs nor the workers are found out before they run."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from system.commands import Commands


LENT = """
import functools

def with_connection(function):
    @functools.wraps(function)
    def call(*args):
        return function("connection", *args)
    return call

def plain(one):
    pass

@with_connection
def sweep(connection, batch):
    pass
"""


@pytest.mark.parametrize(
    ("args", "place", "reported"),
    [
        (
            "  args: [1, 2]\n",
            "3:9",
            "welcome() too many positional arguments; it takes (user_id, *, polite=True)",
        ),
        (
            "  args:\n    - {user: 1}\n",
            "4:5",
            "welcome() missing a required argument: 'user_id'; it takes",
        ),
        ("", "1:1", "welcome() missing a required argument: 'user_id'; it takes"),
    ],
)
def test_arguments_that_a_recurring_class_does_not_take_are_reported_with_their_place(
    run: Commands, args: str, place: str, reported: str
) -> None:
    run.project.write(
        "config/recurring.yml",
        f"greet:\n  class: shop_jobs.welcome\n{args}  schedule: every day\n"
        "also: {class: shop_jobs.welcome, args: [1, {polite: false}], schedule: every day}\n",
    )

    done = run("start")

    refused = done.stderr
    assert (done.returncode, done.stdout) == (78, "")
    assert refused.startswith(f"error: greet.args: {reported}")
    assert f"\n  at config/recurring.yml:{place}\n" in refused
    assert refused.count("error: ") == 1
    assert run("check").stderr == refused


def test_arguments_that_a_command_does_not_take_are_reported_with_their_place(
    run: Commands,
) -> None:
    run.project.write("lent.py", LENT)
    run.project.write(
        "config/recurring.yml",
        "wrong: {command: 'jobsd.clear_finished_in_batches(nope=1)', schedule: every day}\n"
        "many: {command: 'lent.plain(1, 2)', schedule: every day}\n"
        "lent: {command: 'lent.sweep(5)', schedule: every day}\n"
        "right: {command: 'jobsd.clear_finished_in_batches(5)', schedule: every day}\n",
    )

    done = run("check")

    assert done.returncode == 78
    assert done.stderr.count("error: ") == 2
    assert "wrong.command: jobsd.clear_finished_in_batches: " in done.stderr
    assert "'nope'" in done.stderr
    assert "\n  at config/recurring.yml:1:" in done.stderr
    assert "many.command: lent.plain: too many positional arguments" in done.stderr


def test_check_warns_of_queues_that_no_worker_takes_from(run: Commands) -> None:
    run.project.write(
        "config/queue.yml",
        "import: [shop_jobs]\ndispatchers: [{}]\nworkers: [{queues: 'def*, slow'}]\n",
    )
    run.project.write(
        "config/recurring.yml",
        "greet: {class: shop_jobs.welcome, args: [1], schedule: every day}\n"
        "slowly: {class: shop_jobs.welcome, args: [1], queue: slow, schedule: every day}\n"
        "sweep: {command: jobsd.clear_finished_in_batches(), schedule: every day}\n"
        "off: {class: DailyCleanupJob, queue: nowhere, enabled: false, schedule: every day}\n"
        "daily: {class: DailyCleanupJob, schedule: every day}\n",
    )

    assert run.json("check")["warnings"] == [
        "no worker here takes jobs from queue 'mail', that of greet",
        "no worker here takes jobs from queue 'recurring', that of sweep",
    ]
    with run.project.start() as tree:
        tree.wait_event("supervisor.ready")
        reported = [str(event["warning"]) for event in tree.events("configuration.warning")]
        tree.terminate()
    assert reported == run.json("check")["warnings"]


def test_check_does_not_warn_about_classes_without_local_workers(run: Commands) -> None:
    run.project.write(
        "config/queue.yml",
        "import: [shop_jobs]\ndispatchers: [{}]\nworkers: [{processes: 0}]\n",
    )
    run.project.write(
        "config/recurring.yml",
        "daily: {class: DailyCleanupJob, schedule: every day}\n"
        "clear: {command: jobsd.clear_finished_in_batches(), schedule: every day}\n",
    )

    assert run.json("check")["warnings"] == []


def test_a_reload_refuses_arguments_that_do_not_fit(run: Commands) -> None:
    daily = "daily: {class: DailyCleanupJob, schedule: every day}\n"
    run.project.write("config/recurring.yml", daily)
    with run.project.start() as tree:
        tree.wait_event("supervisor.ready")
        run.project.write("config/recurring.yml", daily.replace("{", "{args: [1], "))

        tree.process.send_signal(signal.SIGHUP)
        crashed = tree.wait_event("process.crashed")

        assert crashed["error"]["message"] == (
            "daily.args: DailyCleanupJob.perform() too many positional arguments; it takes ()"
        )
        tree.wait_event("supervisor.reload_failed")
        assert run.json("recurring", "show", "daily")["arguments"] == []
