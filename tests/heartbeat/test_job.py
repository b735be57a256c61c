"""The heartbeat job says in log and table that it ran."""

from __future__ import annotations

import json
import logging
import re
import socket
from typing import TYPE_CHECKING

from jobsd.heartbeat.job import HeartbeatJob
from jobsd.heartbeat.log import HeartbeatLog
from jobsd.jobs import registry
from jobsd.jobs.current import CurrentJob, running

if TYPE_CHECKING:
    import pytest

    from rows import Rows


def test_it_is_registered_under_the_name_that_recurring_yml_has() -> None:
    assert registry.get("HeartbeatJob").queue == "default"


def test_it_writes_environment_and_hostname(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOBSD_ENV", "production")

    HeartbeatJob.perform_now()

    latest = HeartbeatLog.latest()
    assert latest is not None
    assert (latest.environment, latest.hostname) == ("production", socket.gethostname())


def test_it_writes_which_task_has_enqueued_it(rows: Rows) -> None:
    rows(
        "INSERT INTO jobsd.recurring_tasks (key, schedule, class_name)"
        " VALUES ('beats', 'every hour', 'HeartbeatJob'), ('other', 'every hour', 'Other')"
    )
    rows(
        "INSERT INTO jobsd.recurring_executions (task_key, run_at, job_id)"
        " VALUES ('beats', now(), 7), ('other', now(), 8)"
    )

    for job_id in (7, 8, 9):
        with running(CurrentJob(job_id, 1, "default", "HeartbeatJob")):
            HeartbeatJob().perform()
    HeartbeatJob.perform_now()

    assert rows("SELECT task_key FROM jobsd.heartbeat_logs ORDER BY id") == [
        "beats",
        None,
        None,
        None,
    ]


def test_its_line_has_the_shape_that_operators_grep_for(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("JOBSD_ENV", "production")
    with caplog.at_level(logging.INFO, logger="jobsd.heartbeat"):
        HeartbeatJob.perform_now()

    pattern = (
        r'\[HEARTBEAT\] \{"timestamp":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ",'
        r'"environment":"production","hostname":"[^"]+",'
        r'"message":"Heartbeat job executed successfully"\}'
    )
    assert re.fullmatch(pattern, caplog.messages[0])


def test_its_line_has_the_time_of_its_row(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="jobsd.heartbeat"):
        HeartbeatJob.perform_now()

    said = json.loads(caplog.messages[0].removeprefix("[HEARTBEAT] "))
    latest = HeartbeatLog.latest()
    assert latest is not None
    assert said["timestamp"] == latest.executed_at.strftime("%Y-%m-%dT%H:%M:%SZ")
