"""The flag that names the environment, for the files, the jobs and each reload."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from waiting import wait_until

if TYPE_CHECKING:
    from system.commands import Commands

pytestmark = pytest.mark.system

_TASKS = """\
default: {}
staging:
  beat: {class: HeartbeatJob, schedule: every day, run_at_start: true}
"""


def test_the_flag_beats_the_variable_for_files_jobs_and_reloads(run: Commands) -> None:
    run.project.write("config/recurring.yml", _TASKS)
    with run.project.start("--env", "staging", JOBSD_ENV="production") as tree:
        assert tree.wait_event("recurring.enqueued")["task"] == "beat"
        tree.process.send_signal(signal.SIGHUP)
        tree.wait_event("recurring.loaded", 2)
        wait_until(lambda: run("heartbeat", "latest").returncode == 0, 10, tree.reported)

        assert [event["tasks"] for event in tree.events("recurring.loaded")] == [1, 1]
        assert run.json("heartbeat", "latest")["environment"] == "staging"
