"""What HUP changes of a real tree, and what it leaves as it is."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

import signal
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from harness.monitor_options import make_options
from jobsd.clock import monotonic
from jobsd.daemon.tree import launch
from waiting import wait_until

if TYPE_CHECKING:
    from jobsd.database.connection import Target
    from system.commands import Commands

pytestmark = pytest.mark.system


def test_a_reload_brings_a_new_configuration_and_new_code(run: Commands) -> None:
    with run.project.start() as tree:
        tree.wait_event("supervisor.ready")
        run.project.write(
            "config/queue.yml", "import: [shop_jobs]\nworkers: [{threads: 1}, {}]\n"
        )
        run.project.write("shop_jobs.py", "from jobsd import job\n\n@job\ndef fresh(): ...\n")

        tree.process.send_signal(signal.SIGHUP)
        tree.wait_event("supervisor.reloaded")

        assert len(tree.children("worker")) == 2
        job_id = run.json("enqueue", "shop_jobs.fresh")["id"]
        wait_until(
            lambda: run.json("show", str(job_id))["state"] == "finished", 10, tree.reported
        )


@pytest.mark.failure(
    "HUP with a fault",
    "it is reported; the tree continues unchanged",
)
@pytest.mark.parametrize("broken", ["configuration", "module"])
def test_a_reload_of_a_broken_project_changes_nothing(run: Commands, broken: str) -> None:
    with run.project.start() as tree:
        tree.wait_event("supervisor.ready")
        before = {child.pid for child in tree.children()}
        if broken == "module":
            run.project.write("shop_jobs.py", "1 / 0\n")
        else:
            run.project.write("config/queue.yml", "wrokers: []\n")

        tree.process.send_signal(signal.SIGHUP)
        failed = tree.wait_event("supervisor.reload_failed")

        assert failed["level"] == "error"
        assert {child.pid for child in tree.children()} >= before
        if broken == "module":
            crashed = tree.wait_event("process.crashed")
            assert crashed["error"]["type"] == "ZeroDivisionError"


def test_a_reload_reports_the_settings_it_does_not_change(run: Commands) -> None:
    with run.project.start() as tree:
        tree.wait_event("supervisor.ready")
        run.project.write("config/queue.yml", "supervisor: {shutdown_timeout: 7}\n")

        tree.process.send_signal(signal.SIGHUP)
        tree.wait_event("supervisor.reloaded")

        reported = [str(event["warning"]) for event in tree.events("configuration.warning")]
        assert reported[-1] == "supervisor: changes there take effect at the next start"


@pytest.mark.parametrize("name", ["database", "monitor", "supervisor"])
def test_a_reload_leaves_what_all_processes_of_a_tree_share(target: Target, name: str) -> None:
    old = make_options(target)
    other = replace(
        old,
        database=replace(old.database, url="postgresql:///elsewhere"),
        monitor=replace(old.monitor, latency_targets_s={"default": 77.0}),
        supervisor=replace(old.supervisor, shutdown_timeout_s=77.0),
    )

    assert getattr(launch._reloadable(old, other), name) == getattr(old, name)


def test_a_reload_changes_nothing_that_the_supervisor_goes_by(run: Commands) -> None:
    text = "supervisor: {heartbeat_interval: %s, process_alive_threshold: %s}\n"
    run.project.write("config/queue.yml", text % (0.5, 5))
    with run.project.start() as tree:
        tree.wait_event("supervisor.ready")
        run.project.write("config/queue.yml", text % (60, 600))

        tree.process.send_signal(signal.SIGHUP)
        tree.wait_event("supervisor.reloaded")

        # Who is new has written its first: another one has to come from everybody.
        since = monotonic()
        wait_until(lambda: _oldest_beat(run) - since > 8, 30)
        # By other intervals than its watch a monitor rests for too long; its successors beat.
        assert tree.events("process.hung") == []


def _oldest_beat(run: Commands) -> float:
    """Return when the oldest of all last heartbeats was written (monotonic), or earlier."""
    asked = monotonic()
    return asked - max(float(row["heartbeat_age"]) for row in run.json("ps"))


def test_a_reload_kills_no_monitor_however_short_a_drain_may_be(run: Commands) -> None:
    run.project.write("config/queue.yml", "supervisor: {shutdown_timeout: 0.2}\n")
    with run.project.start() as tree:
        tree.wait_event("supervisor.ready")

        tree.process.send_signal(signal.SIGHUP)
        tree.wait_event("supervisor.reloaded")

        assert tree.events("process.killed") == []
