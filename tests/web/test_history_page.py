"""The page of what was done when."""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING, Any

import pytest

from jobsd.operations.history import percentile

if TYPE_CHECKING:
    from dashboard.asking import Browser
    from rows import Rows


SPANS = ("hour", "month")


def _row(rows: Rows, table: str, age: str, name: str, *counts: int) -> None:
    unit = table.removesuffix("s")
    rows(
        f"INSERT INTO jobsd.history_{table} VALUES (date_trunc(%s, now() - %s::interval), %s,"
        " %s, %s, 0, 0, 1, 4, ARRAY[4,0,0,0,0,0,0,0,0,0,0,0], ARRAY[0,0,0,0,0,2,2,0,0,0,0,0])",
        *(unit, age, name, *counts),
    )


def test_the_history_is_drawn_and_listed(browser: Browser, rows: Rows) -> None:
    _row(rows, "minutes", "0 min", "mail", 4, 0)
    _row(rows, "minutes", "5 min", "images", 2, 2)
    _row(rows, "hours", "0 h", "shop.shrink", 2, 2)
    _row(rows, "hours", "0 h", "shop.welcome", 4, 0)

    page = browser.get("/history").text
    found: Any = browser.get("/api/v1/history").json()
    of_mail: Any = browser.get("/api/v1/history?queue=mail").json()
    overview = browser.get("/").text

    assert len(found["steps"]) == 60
    assert [sum(step[name] for step in found["steps"]) for name in ("finished", "failed")] == [
        6,
        2,
    ]
    assert sum(step["finished"] for step in of_mail["steps"]) == 4
    assert [each["class_name"] for each in found["classes"]] == ["shop.shrink", "shop.welcome"]
    assert found["classes"][0]["run_p50_s"] == pytest.approx(1.0)
    assert found["classes"][0]["run_mean_s"] == pytest.approx(1.0)
    assert found["classes"][0]["run_p95_s"] == pytest.approx(4.6)
    assert len(re.findall(r'<rect class="ok"', page)) == 2
    assert len(re.findall(r'<rect class="bad"', page)) == 1
    assert "50.0%" in page
    assert "finished 6" in overview


@pytest.mark.parametrize("path", ["/", "/history", "/history?span=day&queue=mail"])
def test_a_bar_leads_to_its_jobs(browser: Browser, rows: Rows, path: str) -> None:
    # Ends of three hours ago are in the chart of a day only.
    age = "3 h" if "day" in path else "5 min"
    _row(rows, "minutes", age, "mail", 1, 1)
    for outcome, minute in (("finished", age), ("discarded", "2 days")):
        rows(
            "INSERT INTO jobsd.jobs (queue_name, class_name, outcome, created_at, finished_at)"
            " SELECT 'mail', %s, %s, at, at FROM (SELECT now() - %s::interval) AS a (at)",
            *(f"shop.{outcome}", outcome, minute),
        )

    page = browser.get(path).text
    finished, failed = re.findall(r'<a tabindex="-1" href="([^"]+)"', page)
    jobs: Any = browser.get(f"/api/v1{html.unescape(finished)}").json()

    assert [job["class_name"] for job in jobs["jobs"]] == ["shop.finished"]
    assert "failed%3A" in failed
    assert ("queue%3A%22mail%22" in finished) == ("queue=" in path)
    # By the keyboard, the table leads there.
    assert page.count(finished) == (1 if path == "/" else 2)


@pytest.mark.parametrize("span", ["day", "month"])
def test_longer_times_have_longer_steps(browser: Browser, rows: Rows, span: str) -> None:
    _row(rows, "minutes", "3 h", "mail", 3, 0)
    _row(rows, "hours", "3 h", "shop.welcome", 3, 0)

    found: Any = browser.get(f"/api/v1/history?span={span}").json()

    assert sum(step["finished"] for step in found["steps"]) == 3
    assert len(found["steps"]) == {"day": 96, "month": 120}[span]


@pytest.mark.parametrize(
    ("counts", "share", "wanted"),
    [
        ([], 0.5, None),
        ([0] * 12, 0.5, None),
        ([10] + [0] * 11, 0.5, 0.0025),
        ([0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0], 0.5, 0.3),
        ([0] * 11 + [3], 0.95, 1800.0),
    ],
)
def test_a_share_stays_within(counts: list[int], share: float, wanted: float | None) -> None:
    assert percentile(counts, share) == (None if wanted is None else pytest.approx(wanted))


def test_a_month_says_that_it_has_no_history_of_one_queue(browser: Browser) -> None:
    hour, month = (browser.get(f"/history?span={each}&queue=mail").text for each in SPANS)

    assert 'Only queue <b><a href="/queues/mail">mail</a></b>' in hour
    assert "this is that of all queues, not of mail" in month
    assert 'href="/history?span=month&amp;queue=mail"' in hour
    assert 'href="/history?span=hour&amp;queue=mail"' in month
