"""The errors of jobs that wait for another attempt are shown as those of failed jobs are."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from enqueueing.placed import enqueue, fail
from jobsd.operations import failures

from .searching import found_ids

if TYPE_CHECKING:
    from dashboard.asking import Browser
    from jobsd.database.connection import Session
    from rows import Rows


@pytest.fixture
def retries(browser: Browser, session: Session, rows: Rows) -> list[int]:
    """Three jobs wait for their third attempt; another was never tried, and one has failed."""
    del browser
    waiting = [enqueue(name="shop.send", wait=60) for _ in range(3)]
    enqueue(name="shop.send", wait=60)
    fail(session, enqueue(name="shop.send"))
    rows("UPDATE jobsd.jobs SET attempts = 2 WHERE id = ANY (%s)", waiting)
    for attempt, error in ((1, "OldError"), (2, "SMTPError")):
        rows(
            "INSERT INTO jobsd.attempts (job_id, attempt, ended_at, error)"
            " SELECT id, %s, now(), jsonb_build_object('type', %s::text, 'message', 'full')"
            " FROM unnest(%s::bigint[]) AS id",
            *(attempt, error, waiting),
        )
    return waiting


def test_a_search_finds_a_waiting_retry_by_its_last_error(
    session: Session, retries: list[int]
) -> None:
    found = partial(found_ids, session)

    assert found("state:scheduled error:SMTP") == retries
    assert found("state:scheduled error:OldError") == found("state:scheduled error:told") == []
    assert len(found("error:told")) == 1


def test_the_list_shows_the_last_error_of_a_waiting_retry(
    browser: Browser, retries: list[int]
) -> None:
    rows: Any = browser.get("/api/v1/jobs?q=state:scheduled").json()["jobs"]

    errors = {row["id"]: row["error"] for row in rows}
    assert [errors[job_id] for job_id in retries] == [
        {"type": "SMTPError", "message": "full"}
    ] * 3
    assert [error for job_id, error in errors.items() if job_id not in retries] == [None]


def test_the_overview_groups_the_errors_of_waiting_retries(
    browser: Browser, session: Session, retries: list[int]
) -> None:
    [group] = failures.retrying(session)
    page = browser.get("/").text.partition("Waiting for another attempt")[2]

    assert (group["class_name"], group["error_type"], group["jobs"]) == (
        "shop.send",
        "SMTPError",
        3,
    )
    assert group["last_id"] == retries[-1]
    assert "SMTPError: full" in page
    assert "state%3Ascheduled%20class%3A%22shop.send%22%20error%3A%22SMTPError%3A%22" in page


def test_an_overview_without_retries_has_no_room_for_them(browser: Browser) -> None:
    enqueue(wait=60)

    assert "Waiting for another attempt" not in browser.get("/").text
