"""The page of concurrency limits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from enqueueing.placed import claim, enqueue
from jobsd.operations import limits

if TYPE_CHECKING:
    import pytest

    from dashboard.asking import Browser
    from jobsd.database.connection import Session


def test_a_key_shows_its_holders_and_waiting_jobs(browser: Browser, session: Session) -> None:
    ids = [enqueue(key="tenant", to=1) for _ in range(3)]
    enqueue(key="free", to=2)
    claim(session, 5, ids[0])

    full, free = browser.get("/api/v1/limits").json()
    page = browser.get("/limits").text

    assert full | {"held_since": 0, "waiting_since": 0} == {
        "key": "k/tenant",
        "limit": 1,
        "held": 1,
        "full": True,
        "waiting": 2,
        "class_name": "nothing",
        "holders": [ids[0]],
        "held_since": 0,
        "first_waiting": ids[1],
        "waiting_since": 0,
    }
    assert (free["key"], free["held"], free["full"], free["waiting"]) == ("k/free", 0, False, 1)
    assert "1 full" in page
    assert f'href="/jobs/{ids[0]}"' in page
    assert "state%3Ablocked" in page


def test_a_key_is_shown_as_its_author_has_written_it(
    browser: Browser, session: Session
) -> None:
    del session
    job_id = enqueue(key="acme/north~")
    enqueue(key="acme/north~")

    page, job = browser.get("/limits").text, browser.get(f"/jobs/{job_id}").text

    for text in (page, job):
        assert ">acme/north~</a>" in text
        assert "of k" in text
        assert browser.get(_link(text, ">acme/north~</a>")).text.count("/jobs/") >= 2


def _link(text: str, behind: str) -> str:
    """Return where the link leads that ends so."""
    return text.partition(behind)[0].rpartition('href="')[2].partition('"')[0]


def test_listed_keys_and_counted_jobs_are_bounded(
    session: Session, default_client: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    del default_client
    monkeypatch.setattr(limits, "KEYS_MAX", 3)
    monkeypatch.setattr(limits, "WAITING_MAX", 1)
    for key in "abcde":
        for _ in range(3):
            enqueue(key=key)

    found: list[Any] = limits.limit_rows(session)

    assert len(found) == 3
    assert {row["waiting"] for row in found} == {2}
