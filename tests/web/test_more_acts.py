"""Acts on recurring tasks, on the heartbeat and on processes."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from enqueueing.placed import enqueue
from jobsd.acts import inspect
from jobsd.operations import audit
from jobsd.processes import registry
from jobsd.processes.process import QUIET
from jobsd.recurring import tasks

if TYPE_CHECKING:
    from dashboard.asking import Browser
    from jobsd.database.connection import Session
    from rows import Rows

TASK = {"key": "beat", "schedule": "every 5 minutes", "class": "HeartbeatJob"}


def _audited(session: Session) -> list[tuple[str, str]]:
    return [(row["act"], row["target"]) for row in audit.rows(session)]


def test_a_task_is_added_changed_and_removed(browser: Browser, session: Session) -> None:
    added = browser.post("/recurring/add", **TASK, description="by hand")
    changed = browser.post("/recurring/beat/edit", **{**TASK, "schedule": "0 9 * * 1-5"})
    task = tasks.get(session, "beat")
    page = browser.get("/recurring/beat").text
    removed = browser.post("/recurring/beat/remove")

    assert [added.status, changed.status, removed.status] == [303, 303, 303]
    assert (task.schedule, task.class_name, task.static) == (
        "0 9 * * 1-5",
        "HeartbeatJob",
        False,
    )
    assert "Change it" in page
    assert tasks.find(session, "beat") is None
    assert _audited(session) == [
        ("remove", "task beat"),
        ("edit", "task beat"),
        ("add", "task beat"),
    ]


def test_a_class_that_a_worker_has_published_can_be_a_task(
    browser: Browser, session: Session, rows: Rows
) -> None:
    rows(
        "INSERT INTO jobsd.worker_classes (process_id, queues, lanes)"
        " VALUES (%s, ARRAY['*'], ARRAY[jobsd.lane_of('shop.reports.monthly')])",
        registry.register(session, kind="worker", name="w", supervisor_id=0, metadata={}),
    )

    got = browser.post(
        "/recurring/add", **{**TASK, "class": "shop.reports.monthly", "args": "[5]"}
    )

    assert got.status == 303
    assert tasks.get(session, "beat").class_name == "shop.reports.monthly"


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"class": "os.system"}, "running worker knows"),
        ({"class": "", "command": "os.system('true')"}, "running worker knows"),
        ({"schedule": "now and then"}, "now and then"),
        ({"args": "{nonsense"}, "are not valid JSON"),
        ({"args": "[1, 2, 3]"}, "HeartbeatJob"),
        ({"priority": "high"}, "is not a whole number"),
        ({"time_zone": "Mars/Base"}, "Mars/Base"),
        ({"key": ""}, ""),
        ({"queue": "a,b"}, "queue"),
    ],
)
def test_a_task_that_could_not_run_is_refused(
    browser: Browser, session: Session, change: dict[str, str], fault: str
) -> None:
    got = browser.post("/recurring/add", **{**TASK, **change})

    assert got.status in {400, 409}
    assert fault.replace("'", "&#39;") in got.text
    assert tasks.load(session) == []
    assert _audited(session) == []


def test_a_task_of_a_file_is_not_changed(browser: Browser, rows: Rows) -> None:
    rows(
        "INSERT INTO jobsd.recurring_tasks (key, schedule, class_name, static, source)"
        " VALUES ('beat', 'every hour', 'HeartbeatJob', true, 'config/recurring.yml:3'),"
        " ('call', 'every hour', NULL, false, NULL)"
    )
    rows("UPDATE jobsd.recurring_tasks SET command = 'app.f()' WHERE key = 'call'")

    answers = [
        browser.post("/recurring/beat/edit", **TASK),
        browser.post("/recurring/beat/remove"),
        browser.post("/recurring/call/edit", **TASK),
    ]

    assert [got.status for got in answers] == [409, 409, 409]
    assert rows("SELECT schedule FROM jobsd.recurring_tasks ORDER BY key") == ["every hour"] * 2
    assert "Change it" not in browser.get("/recurring/beat").text


@pytest.mark.parametrize("path", ["/recurring", "/recurring/beat"])
def test_a_task_of_a_file_is_disabled_by_a_button_and_shown_so(
    browser: Browser, rows: Rows, path: str
) -> None:
    rows(
        "INSERT INTO jobsd.recurring_tasks (key, schedule, class_name, static, source)"
        " VALUES ('beat', 'every hour', 'HeartbeatJob', true, 'config/recurring.yml:3')"
    )
    button = 'action="/recurring/beat/{}"'

    before = browser.get("/recurring/beat").text
    browser.post("/recurring/beat/disable")
    page, after = browser.get(path).text, browser.get("/recurring/beat").text
    found: Any = browser.get("/api/v1/recurring/beat").json()

    assert button.format("disable") in before
    assert button.format("enable") in after
    assert f"by {found['disabled_by']}" in page
    assert (found["enabled"], found["next_runs"]) == (False, [])


def test_a_task_that_its_file_turns_off_has_no_button(browser: Browser, rows: Rows) -> None:
    rows(
        "INSERT INTO jobsd.recurring_tasks (key, schedule, class_name, static, source, enabled)"
        " VALUES ('beat', 'every hour', 'HeartbeatJob', true, 'config/recurring.yml:3', false)"
    )

    page = browser.get("/recurring/beat").text

    assert "/recurring/beat/enable" not in page
    assert browser.post("/recurring/beat/enable").status == 409


def test_the_tags_of_a_task_are_typed_one_a_line(browser: Browser, session: Session) -> None:
    browser.post("/recurring/add", **TASK, tags="eu\r\n a, b\r\n")
    made = tasks.get(session, "beat").tags
    page = browser.get("/recurring/beat").text
    browser.post("/recurring/beat/edit", **TASK, tags="")

    assert made == ["eu", "a, b"]
    assert ">eu\na, b</textarea>" in page
    assert tasks.get(session, "beat").tags is None


def test_a_schedule_is_explained_while_it_is_typed(browser: Browser) -> None:
    good = browser.get("/recurring/preview?schedule=every+weekday+at+9am").text
    bad = browser.get("/recurring/preview?schedule=now+and+then").text
    found: Any = browser.get("/api/v1/recurring/preview?schedule=0+9+*+*+1-5").json()

    assert "0 9 * * 1-5" in good
    assert good.count("<li>20") == 5
    assert 'class="problem"' in bad
    assert (found["accepted"], len(found["next"])) == (True, 5)


def test_the_heartbeat_is_run(browser: Browser, session: Session, rows: Rows) -> None:
    got = browser.post("/heartbeats/run")

    assert got.status == 303
    assert rows("SELECT class_name FROM jobsd.jobs") == ["HeartbeatJob"]
    assert _audited(session)[0][0] == "run"


def test_a_job_gets_another_queue_and_priority(browser: Browser, session: Session) -> None:
    job_id = enqueue()

    moved = browser.post(f"/jobs/{job_id}/move", queue="slow", priority="-2")
    nothing = browser.post(f"/jobs/{job_id}/move")
    missing = browser.post("/jobs/4711/move", queue="slow")

    job = inspect.find(session, job_id).job
    assert (moved.status, job.queue_name, job.priority) == (303, "slow", -2)
    assert nothing.status == 400
    assert missing.status == 404


def _registered(session: Session, kind: str, pid: int) -> int:
    return registry.register(
        session, kind=kind, name=registry.new_name(kind), supervisor_id=0, metadata={}, pid=pid
    )


def test_a_process_of_this_machine_is_asked_to_end(browser: Browser, session: Session) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        row = _registered(session, "worker", child.pid)
        got = browser.post(f"/processes/{row}/restart")
        status = child.wait(30)

    assert got.status == 303
    assert status == -signal.SIGTERM


def test_a_worker_of_this_machine_takes_no_more_jobs(
    browser: Browser, session: Session
) -> None:
    job_id = enqueue()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        row = _registered(session, "worker", child.pid)
        other = _registered(session, "dispatcher", child.pid)
        refused = browser.post(f"/processes/{other}/quiet")
        before = browser.get(f"/api/v1/jobs/{job_id}").json()["why"]
        got = browser.post(f"/processes/{row}/quiet")
        status = child.wait(30)
    page = browser.get("/processes").text
    after = browser.get(f"/api/v1/jobs/{job_id}").json()["why"]

    assert (refused.status, got.status) == (409, 303)
    assert status == -QUIET
    assert 'class="state quiet"' in page
    assert [each["reason"] for each in before] != ["no_worker"]
    assert [each["reason"] for each in after] == ["no_worker"]


def test_a_supervisor_or_an_unverified_process_is_sent_no_signal(
    browser: Browser, session: Session, rows: Rows
) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        ids = [
            _registered(session, kind, child.pid) for kind in ("supervisor", "worker", "web")
        ]
        rows("UPDATE jobsd.processes SET hostname = 'elsewhere' WHERE id = %s", ids[1])
        rows(
            "UPDATE jobsd.processes SET metadata = metadata - 'started' WHERE id = %s",
            ids[2],
        )
        answers = [browser.post(f"/processes/{each}/restart") for each in [*ids, 4_711]]
        answers += [browser.post(f"/processes/{each}/quiet") for each in [*ids, 4_711]]
        lives = child.poll() is None
        child.kill()

    assert [got.status for got in answers] == [409, 409, 409, 404] * 2
    assert lives
