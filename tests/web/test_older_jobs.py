"""A search that no index answers: it ends somewhere, says so, and goes on from there."""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING, Any

from enqueueing.placed import enqueue
from jobsd.web import pages

if TYPE_CHECKING:
    import pytest

    from dashboard.asking import Browser
    from rows import Rows

_OLDER = re.compile(r'(?:url=([^"]+)">|href="([^"]+)">Search older jobs</a>)')


def _crowd(rows: Rows, count: int) -> None:
    """Put jobs into the table that are newer than all that are there."""
    rows(
        "INSERT INTO jobsd.jobs (class_name, queue_name, priority, arguments, max_attempts,"
        " created_at, outcome, finished_at)"
        " SELECT 'other', queue_name, priority, arguments, max_attempts, now(), 'finished',"
        " now()"
        " FROM (SELECT * FROM jobsd.jobs LIMIT 1) AS job, generate_series(1, %s)",
        count,
    )


def test_older_jobs_are_searched_from_where_a_search_has_ended(
    browser: Browser, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "SEEN_MAX", 100)
    rare = enqueue(name="rare")
    _crowd(rows, 250)
    path = "/jobs?q=class:rare"
    shown: list[str] = []

    while path:
        page = browser.get(path).text
        shown.append(page)
        older = _OLDER.search(page)
        path = html.unescape(older[1] or older[2]) if older else ""

    assert len(shown) == 3
    assert "only the newest 100 jobs were searched" in shown[0]
    assert "None among the newest 100" in shown[0]
    assert "None among the newest 200" in shown[1]
    assert ['http-equiv="refresh"' in page for page in shown] == [False, True, False]
    assert not any("No job passes this search" in page for page in shown)
    assert [f'href="/jobs/{rare}"' in page for page in shown] == [False, False, True]
    assert 'href="/jobs?q=class%3Arare">Newest</a>' in shown[2]


def test_a_program_learns_how_far_a_search_has_come_and_where_to_go_on(
    browser: Browser, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "SEEN_MAX", 100)
    rare = enqueue(name="rare")
    _crowd(rows, 150)

    first: Any = browser.get("/api/v1/jobs?q=class:rare").json()
    last: Any = browser.get(f"/api/v1/jobs?q=class:rare&before={first['next']}").json()

    assert (first["jobs"], first["complete"], first["seen"]) == ([], False, 100)
    assert first["oldest"] is not None
    assert [each["id"] for each in last["jobs"]] == [rare]
    assert (last["complete"], last["next"]) == (True, None)


def test_a_search_that_goes_on_by_itself_stops_at_the_first_job(
    browser: Browser, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "SEEN_MAX", 100)
    rare = enqueue(name="rare")
    _crowd(rows, 50)

    page = browser.get(f"/jobs?q=class:rare&before={rare + 1}&on=5000").text

    assert 'http-equiv="refresh"' not in page
    assert f'href="/jobs/{rare}"' in page


def test_a_search_of_a_period_does_not_call_its_jobs_the_newest(
    browser: Browser, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "SEEN_MAX", 100)
    enqueue(name="rare")
    _crowd(rows, 250)

    page = browser.get("/jobs?q=class:rare+finished:2h..1h").text

    assert "only 100 jobs of the period were searched" in page
    assert "None among 100 jobs of the period" in page
    assert "after:7d" not in page


def test_a_search_reads_ten_thousand_jobs_however_little_time_there_is(
    browser: Browser, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "_SEARCH_S", 0.0)
    rare = enqueue(name="rare")
    _crowd(rows, 9_000)

    page = browser.get("/jobs?q=class:rare").text

    assert f'href="/jobs/{rare}"' in page
    assert "were searched" not in page


def test_only_a_search_of_all_jobs_says_that_none_passes(browser: Browser) -> None:
    enqueue(name="rare")

    page = browser.get("/jobs?q=class:other").text

    assert "No job passes this search" in page
    assert "None among" not in page


def test_a_search_that_has_used_its_time_ends_and_offers_to_go_on(
    browser: Browser, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "_SEARCH_S", 0.0)
    enqueue(name="rare")
    _crowd(rows, 30_000)

    page = browser.get("/jobs?q=class:rare").text

    assert "only the newest" in page
    assert _OLDER.search(page)
