"""Where a dashboard lies below a path, and what a page says that was done."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from dashboard.asking import Browser, made
from enqueueing.placed import enqueue
from jobsd.configuration.users import User
from jobsd.web.reading import Connections

if TYPE_CHECKING:
    from jobsd.database.connection import Session, Target


@pytest.mark.parametrize(
    ("path", "status"),
    [("/board", 200), ("/board/", 200), ("/board/queues", 200), ("/boarding", 404), ("/", 404)],
)
def test_a_dashboard_below_a_path_has_that_path_alone(
    target: Target, path: str, status: int
) -> None:
    assert Browser(made(target, path="/board")).get(path).status == status


@pytest.mark.parametrize(
    ("site", "said"),
    [("same-origin", True), ("none", False), ("cross-site", False), ("same-site", False)],
)
def test_only_our_own_pages_can_show_a_message(
    browser: Browser, site: str, *, said: bool
) -> None:
    got = browser.get("/queues?done=All+is+lost.", **{"Sec-Fetch-Site": site})

    assert ("All is lost." in got.text) is said


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        ({}, False),
        ({"Referer": "http://localhost/queues"}, True),
        ({"Referer": "http://localhost.example/queues"}, False),
        ({"Referer": "http://elsewhere/"}, False),
        ({"Referer": "http://localhost/queues", "Sec-Fetch-Site": "cross-site"}, False),
    ],
    ids=str,
)
def test_a_browser_that_names_no_site_must_come_from_our_own_page(
    browser: Browser, headers: dict[str, str], *, said: bool
) -> None:
    got = browser.get("/queues?done=All+is+lost.", **headers)

    assert ("All is lost." in got.text) is said


def test_a_page_after_an_outage_has_another_connection(
    browser: Browser, session: Session
) -> None:
    assert browser.get("/queues").status == 200
    ended = session.connection.execute(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
        " WHERE datname = current_database() AND application_name = 'jobsd web'"
    ).fetchone()

    statuses = [browser.get("/queues").status for _ in range(2)]

    assert (ended, statuses) == ((1,), [503, 200])


def test_a_fork_leaves_the_connections_of_its_parent_alone(
    target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    connections = Connections(lambda: target)
    with connections.session() as first:
        pass
    with connections.session() as again:
        pass

    monkeypatch.setattr("jobsd.web.reading.os.getpid", lambda: 4711)
    with connections.session() as of_fork:
        pass

    assert again is first
    assert of_fork is not first
    connections.close()
    first.close()


def test_a_job_that_there_is_none_of_is_not_found(browser: Browser) -> None:
    assert browser.post("/jobs/4711/move", queue="slow").status == 404
    assert browser.post(f"/jobs/{enqueue()}/move", queue="slow").status == 303


def test_a_role_that_may_retry_many_jobs_may_not_move_them(
    target: Target, default_client: object
) -> None:
    del default_client
    bot = User("bot", "operator", password=None, token="t0ken")
    browser = Browser(made(target, open_role=None, users=(bot,)), Authorization="Bearer t0ken")

    statuses = [browser.post("/bulk", act=each).status for each in ("retry", "move")]

    assert statuses[0] != 403
    assert statuses[1] == 403
