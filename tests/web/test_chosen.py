"""Acts on jobs that are chosen one by one on a page."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from dashboard.asking import Browser, made
from enqueueing.placed import enqueue, fail
from jobsd.configuration.users import User
from jobsd.operations import audit

if TYPE_CHECKING:
    from jobsd.database.connection import Session, Target
    from rows import Rows

_STATES = "SELECT coalesce(outcome, 'waits') FROM jobsd.jobs ORDER BY id"


def test_exactly_the_chosen_jobs_are_discarded(
    browser: Browser, session: Session, rows: Rows
) -> None:
    ids = [enqueue() for _ in range(3)]
    chosen = {f"job.{each}": "on" for each in (ids[0], ids[2])}

    done = browser.post("/chosen", act="discard", q='queue:"mail"', **chosen)

    assert done.status == 303
    assert done.headers["Location"].startswith("/jobs?q=queue%3A%22mail%22&done=Discard")
    assert rows(_STATES) == ["discarded", "waits", "discarded"]
    (row,) = audit.rows(session)
    assert (row["act"], row["target"], row["jobs"]) == (
        "discard",
        f"jobs {ids[0]}, {ids[2]}",
        2,
    )


def test_jobs_in_other_states_are_left_and_reported(browser: Browser, session: Session) -> None:
    failed, ready = enqueue(), enqueue()
    fail(session, failed)

    got = browser.post(
        "/api/v1/chosen", act="retry", **{f"job.{failed}": "", f"job.{ready}": ""}
    )
    reported = browser.post("/chosen", act="retry", **{f"job.{ready}": ""})

    assert got.json() == {"act": "retry", "jobs": 1, "skipped": 1}
    assert [(row["jobs"], row["skipped"]) for row in audit.rows(session)] == [(0, 1), (1, 1)]
    assert "the%20others%20are%20not%20failed" in reported.headers["Location"]


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"act": "discard"}, 409),
        ({"act": "move", "job.1": "on"}, 404),
        ({"job.1": "on"}, 404),
        ({"act": "discard", "job.x": "on"}, 404),
        ({"act": "discard", "job.": "on"}, 404),
        ({"act": "discard", "job.99999999999999999999": "on"}, 404),
        ({"act": "discard", **{f"job.{n}": "on" for n in range(1, 70)}}, 400),
    ],
    ids=str,
)
def test_what_chooses_nothing_does_nothing(
    browser: Browser, session: Session, rows: Rows, fields: dict[str, str], status: int
) -> None:
    enqueue()

    assert browser.post("/chosen", **fields).status == status
    assert rows(_STATES) == ["waits"]
    assert audit.rows(session) == []


def test_all_jobs_of_a_page_can_be_chosen_at_once(browser: Browser, rows: Rows) -> None:
    ids = [enqueue() for _ in range(50)]

    got = browser.post("/api/v1/chosen", act="discard", **{f"job.{each}": "on" for each in ids})

    assert got.json() == {"act": "discard", "jobs": 50, "skipped": 0}
    assert set(rows(_STATES)) == {"discarded"}


def test_a_viewer_is_offered_no_boxes(target: Target, default_client: object) -> None:
    del default_client
    job_id = enqueue()
    viewer = User("vic", "viewer", password="a")
    browser = Browser(made(target, open_role=None, users=(viewer,)))
    log_in = {"Authorization": "Basic dmljOmE="}

    assert "checkbox" not in browser.get("/jobs", **log_in).text.partition('id="live"')[2]
    headers = {**log_in, "Sec-Fetch-Site": "same-origin"}
    body = f"act=discard&job.{job_id}=on"
    assert browser.ask("POST", "/chosen", headers, body).status == 403


def test_a_list_shows_the_time_each_job_runs_ran_or_failed(
    browser: Browser, session: Session, rows: Rows
) -> None:
    enqueue(wait="1h")
    fail(session, enqueue())
    rows(
        "UPDATE jobsd.jobs SET outcome = 'finished', started_at = now() - interval '2 s',"
        f" finished_at = now() WHERE id = {enqueue()}"
    )

    rows(f"UPDATE jobsd.jobs SET attempts = 1 WHERE id = {enqueue(wait='2h')}")

    text = browser.get("/jobs").text

    assert ">due <time" in text
    assert ">retry <time" in text
    assert ">tried <time" in text
    assert ">ran 2.0s<" in text
