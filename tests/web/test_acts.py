"""What visitors can do, who may, and that it is written down."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from dashboard.asking import Browser, made
from enqueueing.placed import claim, enqueue, fail
from jobsd.acts import queues
from jobsd.configuration.users import ROLES, User
from jobsd.operations import audit
from lost_answers import losing

if TYPE_CHECKING:
    from jobsd.database.connection import Session, Target
    from jobsd.enqueueing.client import Client
    from rows import Rows

PATHS = {
    "/jobs/1/retry": "operator",
    "/jobs/1/discard": "operator",
    "/jobs/1/cancel": "operator",
    "/jobs/1/run": "operator",
    "/queues/mail/pause": "operator",
    "/queues/mail/resume": "operator",
    "/recurring/heartbeat/run": "operator",
    "/queues/mail/clear": "admin",
    "/jobs/1/move": "admin",
    "/heartbeats/run": "operator",
    "/bulk": "operator",
    "/recurring/add": "admin",
    "/recurring/heartbeat/edit": "admin",
    "/recurring/heartbeat/remove": "admin",
    "/processes/1/restart": "admin",
    "/processes/1/quiet": "admin",
    "/recurring/heartbeat/enable": "admin",
    "/recurring/heartbeat/disable": "admin",
}


def _state(session: Session, job_id: int) -> str:
    from jobsd.acts import inspect

    return inspect.find(session, job_id).job.state


def _acts(session: Session) -> list[tuple[Any, ...]]:
    return [
        (
            row["actor"],
            row["via"],
            row["act"],
            row["target"],
            row["jobs"],
            bool(row["ended_at"]),
        )
        for row in audit.rows(session)
    ]


def test_a_failed_job_is_retried(browser: Browser, session: Session) -> None:
    job_id = enqueue()
    fail(session, job_id)

    got = browser.post(f"/jobs/{job_id}/retry")

    assert got.status == 303
    assert got.headers["Location"].startswith(f"/jobs/{job_id}?done=")
    assert _state(session, job_id) == "ready"
    assert _acts(session) == [("local", "dashboard", "retry", f"job {job_id}", 1, True)]
    assert f"job {job_id}" in browser.get("/audit").text


def test_a_job_is_discarded_and_a_scheduled_one_is_made_due(
    browser: Browser, session: Session, rows: Rows
) -> None:
    dropped, later = enqueue(), enqueue(wait=3_600)

    assert browser.post(f"/jobs/{dropped}/discard").status == 303
    assert browser.post(f"/jobs/{later}/run").status == 303

    assert _state(session, dropped) == "discarded"
    assert rows("SELECT scheduled_at <= now() FROM jobsd.scheduled_executions") == [True]


def test_a_running_job_is_asked_to_stop_and_a_waiting_one_is_discarded(
    browser: Browser, session: Session, rows: Rows
) -> None:
    running, waiting = enqueue(), enqueue()
    claim(session, 5, running)
    assert f"/jobs/{running}/cancel" in browser.get(f"/jobs/{running}").text

    reported, gone = (browser.post(f"/jobs/{each}/cancel") for each in (running, waiting))

    assert (reported.status, gone.status) == (303, 303)
    assert (_state(session, running), _state(session, waiting)) == ("claimed", "discarded")
    assert rows("SELECT cancelled FROM jobsd.claims") == [[running]]
    assert "it was cancelled while it ran" in browser.get(f"/jobs/{running}").text


def test_an_act_not_allowed_in_a_state_is_refused_and_leaves_no_row(
    browser: Browser, session: Session
) -> None:
    job_id = enqueue()
    claim(session, 5, job_id)

    answers = [browser.post(f"/jobs/{job_id}/{act}") for act in ("retry", "discard", "run")]
    missing = browser.post("/jobs/4711/retry")

    assert [got.status for got in answers] == [409, 409, 409]
    assert missing.status == 404
    assert _acts(session) == []


def test_an_act_with_a_lost_answer_reports_that_it_may_have_been_done(
    session: Session, default_client: Client
) -> None:
    del default_client
    job_id = enqueue()
    fail(session, job_id)

    with losing(session.target) as (way, target):
        browser = Browser(made(target))
        way.lose(b"COMMIT")
        got = browser.post(f"/jobs/{job_id}/retry")

    assert (got.status, way.lost, _state(session, job_id)) == (503, 1, "ready")
    hint = "It may have been done, although no answer came; it is safe to repeat it."
    assert hint in got.text


def test_a_queue_is_paused_resumed_and_cleared(browser: Browser, session: Session) -> None:
    job_id = enqueue("a/b")

    browser.post("/queues/a/b/pause", reason="the server is down")
    [pause] = queues.paused(session=session)
    browser.post("/queues/a/b/resume")
    untyped = browser.post("/queues/a/b/clear")
    browser.post("/queues/a/b/clear", confirm="a/b")

    assert (pause.queue_name, pause.reason, pause.created_by) == (
        "a/b",
        "the server is down",
        "local",
    )
    assert queues.paused(session=session) == []
    assert untyped.status == 409
    assert _state(session, job_id) == "discarded"
    assert [row[2] for row in _acts(session)] == ["clear", "resume", "pause"]


def test_a_nul_in_a_field_is_left_out(browser: Browser, session: Session) -> None:
    got = browser.post("/queues/mail/pause", reason="down\0 again")

    [pause] = queues.paused(session=session)
    assert (got.status, pause.reason) == (303, "down again")


@pytest.mark.parametrize(("name", "written"), [("../x", "..%2Fx"), ("a b#c", "a%20b%23c")])
def test_the_name_of_a_queue_is_escaped_in_its_links(
    browser: Browser, session: Session, name: str, written: str
) -> None:
    # A browser resolves `/queues/../x/pause` before it asks.
    enqueue(name)

    page = browser.get("/queues").text

    assert f'action="/queues/{written}/pause"' in page
    browser.post(f"/queues/{name}/pause")
    assert [pause.queue_name for pause in queues.paused(session=session)] == [name]


def test_programs_act_with_their_token(
    target: Target, session: Session, default_client: object
) -> None:
    del default_client
    job_id = enqueue()
    bot = User("bot", "operator", token="t0ken")
    browser = Browser(made(target, open_role=None, users=(bot,)))

    got = browser.ask(
        "POST", f"/api/v1/jobs/{job_id}/discard", {"Authorization": "Bearer t0ken"}
    )

    assert (got.status, got.json()) == (200, {"id": job_id, "state": "discarded"})
    assert _acts(session)[0][0] == "bot"


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("role", ROLES)
def test_an_act_needs_its_role(
    target: Target, default_client: object, rows: Rows, role: str, path: str
) -> None:
    del default_client
    browser = Browser(made(target, open_role=role))
    allowed = ROLES.index(role) >= ROLES.index(PATHS[path])

    got = browser.post(path, confirm="mail")

    assert (got.status != 403) is allowed
    if not allowed:
        assert f"needs the role {PATHS[path]}" in got.text
        assert rows("SELECT * FROM jobsd.audit") == []


@pytest.mark.parametrize("path", PATHS)
def test_nothing_is_changed_where_everything_only_shows(target: Target, path: str) -> None:
    got = Browser(made(target, read_only=True)).post(path)

    assert got.status == 403
    assert "web.read_only" in got.text


@pytest.mark.parametrize("path", PATHS)
def test_no_act_is_done_by_a_get(browser: Browser, rows: Rows, path: str) -> None:
    got = browser.get(path)

    assert got.status in {404, 405}
    assert rows("SELECT * FROM jobsd.audit") == []


def test_the_message_after_an_act_is_shown_as_text(browser: Browser) -> None:
    path = "/queues?done=%3Cscript%3Ealert(1)%3C/script%3E%0d%0aX: y"
    got = browser.get(path, **{"Sec-Fetch-Site": "same-origin"})

    assert "<script>alert" not in got.text
    assert "X" not in got.headers


def test_a_name_with_line_ends_adds_no_header(browser: Browser) -> None:
    got = browser.post("/queues/x\r\nSet-Cookie: a=b/pause")

    assert "Set-Cookie" not in got.headers
    assert "\n" not in "".join(got.headers.values())


def test_a_task_that_is_run_by_hand_leaves_a_row_with_its_job(
    browser: Browser, session: Session, rows: Rows
) -> None:
    rows(
        "INSERT INTO jobsd.recurring_tasks (key, schedule, class_name)"
        " VALUES ('heartbeat', 'every 5 minutes', 'HeartbeatJob')"
    )

    got = browser.post("/recurring/heartbeat/run")

    assert got.status == 303
    assert rows("SELECT class_name FROM jobsd.jobs") == ["HeartbeatJob"]
    assert _acts(session) == [("local", "dashboard", "run", "task heartbeat", 1, True)]
