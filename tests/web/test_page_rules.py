"""Rules of pages for the second page, the second queue, another project's settings."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from dashboard.asking import Browser, made
from enqueueing.placed import enqueue
from jobsd.acts.listing import Filter
from jobsd.operations.search import Search
from jobsd.recurring import tasks
from jobsd.web import pages

if TYPE_CHECKING:
    from jobsd.database.connection import Session, Target
    from rows import Rows


@pytest.mark.parametrize("path", ["/" + "a" * 4_001, "/jobs?q=" + "a" * 4_001])
def test_an_address_that_is_too_long_is_not_read(browser: Browser, path: str) -> None:
    assert browser.get(path).status == 414


@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.parametrize("act", ["discard", "cancel", "clear"])
def test_a_dropped_job_is_kept_only_with_finished_jobs(
    target: Target, default_client: object, rows: Rows, act: str, *, keep: bool
) -> None:
    del default_client
    browser = Browser(made(target, keep_finished=keep))
    job_id = enqueue("mail")
    path = "/queues/mail/clear" if act == "clear" else f"/jobs/{job_id}/{act}"

    done = browser.post(path, confirm="mail")

    assert done.status == 303
    assert rows("SELECT outcome FROM jobsd.jobs") == ["discarded"] * keep
    assert browser.get(done.headers["Location"]).status == 200


def test_a_task_that_names_no_zone_has_that_of_the_project(
    target: Target, default_client: object, session: Session
) -> None:
    del default_client
    browser = Browser(made(target, time_zone="Europe/Paris"))
    given = {"schedule": "at 5am every day", "class": "HeartbeatJob"}

    browser.post("/recurring/add", key="a", **given)
    browser.post("/recurring/add", key="b", time_zone="Asia/Tokyo", **given)

    zones = [tasks.get(session, key).time_zone for key in ("a", "b")]
    assert zones == ["Europe/Paris", "Asia/Tokyo"]


def test_only_the_newest_jobs_are_kept_fresh(browser: Browser) -> None:
    first, second = enqueue(), enqueue()

    newest, older = browser.get("/jobs").text, browser.get(f"/jobs?before={second}").text

    assert ('hx-get="/jobs"' in newest, "hx-get" in older) == (True, False)
    assert (f'href="/jobs/{first}"' in older, f'href="/jobs/{second}"' in older) == (
        True,
        False,
    )


def test_the_audit_has_older_pages(browser: Browser) -> None:
    for _ in range(2):
        browser.post("/queues/mail/pause")
        browser.post("/queues/mail/resume")
    ids = [row["id"] for row in browser.get("/api/v1/audit").json()]

    older = browser.get(f"/api/v1/audit?before={ids[1]}").json()

    assert [row["id"] for row in older] == ids[2:]


def test_arguments_with_hidden_parts_are_not_offered_to_be_stored(
    browser: Browser, rows: Rows
) -> None:
    given = {"schedule": "every hour", "class": "HeartbeatJob"}
    browser.post("/recurring/add", key="open", **given)
    browser.post("/recurring/add", key="hides", **given)
    rows(
        "UPDATE jobsd.recurring_tasks SET arguments = %s::jsonb WHERE key = 'hides'",
        '[{"$keywords": {"token": "x"}}]',
    )

    typed = [
        re.findall(r'name="args"[^>]*value="([^"]*)"', browser.get(f"/recurring/{key}").text)
        for key in ("open", "hides")
    ]

    assert typed == [["[]"], [""]]


@pytest.mark.parametrize(
    ("search", "offered"),
    [
        (Search(Filter("failed")), ["retry", "discard"]),
        (Search(Filter("failed"), ("what is x?",)), []),
        (Search(Filter()), []),
        (Search(Filter(queue_name="mail")), ["discard"]),
        (Search(Filter("claimed")), []),
    ],
)
def test_an_act_on_all_is_offered_only_for_an_understood_search(
    search: Search, offered: list[str]
) -> None:
    assert [act.name for act in pages._bulk(search, None)] == offered


@pytest.mark.parametrize("span", ["hour", "month"])
def test_the_history_by_class_of_a_queue_is_that_of_all_queues(
    browser: Browser, rows: Rows, span: str
) -> None:
    for table, time, name in (
        ("history_minutes", "minute", "queue_name"),
        ("history_hours", "hour", "class_name"),
    ):
        rows(
            f"INSERT INTO jobsd.{table} ({time}, {name}, finished, failed, retried, discarded,"
            " wait_s, run_s, waits, runs) VALUES"
            f" (date_trunc('{time}', now()), 'mail', 3, 0, 0, 0, 0, 0, '{{}}', '{{}}'),"
            f" (date_trunc('{time}', now()), 'other', 4, 0, 0, 0, 0, 0, '{{}}', '{{}}')"
            " RETURNING 1"
        )

    steps = browser.get(f"/api/v1/history?span={span}&queue=mail").json()["steps"]

    assert sum(step["finished"] for step in steps) == (3 if span == "hour" else 7)


def test_an_act_on_all_is_not_offered_where_it_changes_none(
    browser: Browser, rows: Rows
) -> None:
    enqueue("mail")
    waiting = browser.get("/jobs?q=queue:mail").text
    rows("DELETE FROM jobsd.ready_executions")
    rows("UPDATE jobsd.jobs SET outcome = 'finished', finished_at = now()")
    ended = browser.get("/jobs?q=queue:mail").text

    assert ("Discard all found" in waiting, "Discard all found" in ended) == (True, False)


@pytest.mark.parametrize("path", ["/jobs", "/audit"])
def test_a_page_does_not_begin_at_something_else_than_an_id(
    browser: Browser, path: str
) -> None:
    assert browser.get(f"{path}?before=abc").status == 400
    assert browser.get(f"{path}?before=5").status == 200
