"""Acts on many jobs: first the number, then exactly these, and how far it is."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from dashboard.asking import Browser, made
from enqueueing.placed import claim, enqueue, fail
from jobsd.acts import inspect
from jobsd.errors import RefusedError
from jobsd.operations import bulk
from jobsd.web.bulk import RUNNING_MAX
from waiting import wait_until

if TYPE_CHECKING:
    from dashboard.asking import Got
    from jobsd.database.connection import Session, Target
    from rows import Rows


def _state(session: Session, job_id: int) -> str:
    return inspect.find(session, job_id).job.state


def _confirmed(browser: Browser, page: Got, **fields: str) -> dict[str, Any]:
    """Send the form of a page of a count; return the row of the act once it has ended."""
    hidden = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', page.text))
    begun = browser.post("/bulk", **hidden, **fields)
    assert begun.status == 303, begun.text
    row = begun.headers["Location"].partition("?")[0]

    def ended() -> Any:
        found: Any = browser.get(f"/api/v1{row}").json()
        return found["ended_at"]

    wait_until(ended, 60)
    found: Any = browser.get(f"/api/v1{row}").json()
    assert "done" in browser.get(row).text
    return dict(found)


def test_exactly_the_counted_jobs_are_retried(browser: Browser, session: Session) -> None:
    ids = [enqueue() for _ in range(4)]
    fail(session, *ids)
    other = enqueue("other")
    fail(session, other)

    page = browser.get("/bulk?act=retry&q=state:failed+queue:mail")
    came_since = enqueue()
    fail(session, came_since)
    assert browser.post(f"/jobs/{ids[0]}/retry").status == 303
    row = _confirmed(browser, page)

    assert "Retry 4 jobs" in page.text
    assert [_state(session, each) for each in ids] == ["ready"] * 4
    assert (_state(session, came_since), _state(session, other)) == ("failed", "failed")
    assert (row["jobs"], row["skipped"], row["act"], row["actor"]) == (3, 0, "retry", "local")
    assert "state:failed queue:mail" in row["target"]


def test_jobs_locked_by_another_session_are_left_and_counted(
    browser: Browser, session: Session, target: Target
) -> None:
    from jobsd.database.connection import Session as Another

    ids = [enqueue(wait=60) for _ in range(3)]
    page = browser.get("/bulk?act=discard&q=queue:mail")
    another = Another(target, "another")
    with another.connection.transaction():
        another.connection.execute(
            "SELECT FROM jobsd.scheduled_executions WHERE job_id = %s FOR UPDATE", (ids[1],)
        )
        row = _confirmed(browser, page)
    another.close()

    assert (row["jobs"], row["skipped"]) == (2, 1)
    assert [_state(session, each) for each in ids] == ["discarded", "scheduled", "discarded"]
    assert "(1 skipped)" in browser.get("/audit").text


def test_scheduled_jobs_are_run_and_waiting_ones_moved(
    browser: Browser, session: Session, rows: Rows
) -> None:
    later, ready = enqueue(wait=3_600), enqueue()

    _confirmed(browser, browser.get("/bulk?act=run&q=state:scheduled"))
    moving = browser.get("/bulk?act=move&q=queue:mail")
    _confirmed(browser, moving, queue="slow", priority="9")

    assert rows("SELECT scheduled_at <= now() FROM jobsd.scheduled_executions") == [True]
    found = [inspect.find(session, each).job for each in (later, ready)]
    assert {(job.queue_name, job.priority) for job in found} == {("slow", 9)}


def test_a_count_is_exact_up_to_a_number(
    browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(4):
        enqueue()
    monkeypatch.setattr(bulk, "COUNTED_MAX", 3)

    page = browser.get("/bulk?act=discard&q=state:ready").text
    found: Any = browser.get("/api/v1/bulk?act=discard&q=state:ready").json()

    assert "Discard at least 3 jobs" in page
    assert (found["jobs"], found["exact"]) == (3, False)


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("act=retry&q=state:ready", 409),
        ("act=discard&q=state:claimed", 409),
        ("act=discard&q=colour:red", 409),
        ("act=discard&q=args.token:x", 409),
        ("act=erase&q=", 404),
    ],
)
def test_an_invalid_query_is_refused(browser: Browser, query: str, status: int) -> None:
    job_id = enqueue()

    assert browser.get(f"/bulk?{query}").status == status
    fields = dict(part.split("=", 1) for part in query.split("&"))
    assert browser.post("/bulk", upto=str(job_id), **fields).status == status


def test_without_seeing_the_number_nothing_is_done(browser: Browser, rows: Rows) -> None:
    enqueue()

    assert browser.post("/bulk", act="discard", q="state:ready").status == 409
    assert browser.post("/bulk", act="move", q="state:ready", upto="9" * 12).status == 400
    assert rows("SELECT * FROM jobsd.audit") == []


def test_a_move_that_names_no_place_is_refused_before_it_begins(
    browser: Browser, rows: Rows
) -> None:
    enqueue()

    got = browser.post("/bulk", act="move", q="state:ready", upto="9")

    assert got.status == 400
    assert rows("SELECT * FROM jobsd.audit") == []


def test_acts_that_can_not_begin_keep_no_place(
    browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    fields = {"act": "discard", "q": "state:ready", "upto": "9"}
    with monkeypatch.context() as patch:
        patch.setattr("jobsd.web.bulk.audit.begin", _refuse)
        refused = {browser.post("/bulk", **fields).status for _ in range(RUNNING_MAX + 1)}

    assert refused == {409}
    assert browser.post("/bulk", **fields).status == 303


def _refuse(*_: object, **__: object) -> None:
    raise RefusedError("not now")


@pytest.mark.parametrize(("role", "act"), [("viewer", "retry"), ("operator", "move")])
def test_an_act_on_many_needs_its_role(
    target: Target, default_client: object, rows: Rows, role: str, act: str
) -> None:
    del default_client
    browser = Browser(made(target, open_role=role))

    got = browser.post("/bulk", act=act, q="", upto="5", priority="1")

    assert got.status == 403
    assert rows("SELECT * FROM jobsd.audit") == []


def test_the_list_offers_what_its_state_allows(browser: Browser, session: Session) -> None:
    fail(session, enqueue())
    claim(session, 5, enqueue())

    offered = {
        state: re.findall(r"/bulk\?act=(\w+)", browser.get(f"/jobs?q=state:{state}").text)
        for state in ("failed", "claimed")
    }
    everything = browser.get("/jobs").text

    assert offered == {"failed": ["retry", "discard"], "claimed": []}
    assert "/bulk" not in everything
