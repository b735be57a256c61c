"""What an answer has beside its page: its method's form, its headers, its status."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from dashboard.asking import Browser, made
from jobsd.configuration.users import User
from jobsd.database.connection import Target
from jobsd.errors import SchemaError

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobsd.database.connection import Session

ANN = User("ann", "viewer", password="correct horse", token=None)


@pytest.fixture
def page_that(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Session], Any]], None]:
    """Let the page of queues be read by another function."""

    def replace(read: Callable[[Session], Any]) -> None:
        monkeypatch.setattr("jobsd.web.pages.queue_rows", lambda *asked: read(asked[0]))  # pyright: ignore[reportUnknownLambdaType, reportUnknownArgumentType]

    return replace


def test_an_answer_to_head_has_the_headers_and_no_body(browser: Browser) -> None:
    page, head = browser.get("/queues"), browser.ask("HEAD", "/queues")

    assert (head.status, head.text) == (200, "")
    assert head.headers["Content-Length"] == str(len(page.text.encode()))


@pytest.mark.parametrize("path", ["/queues", "/api/v1/queues"])
def test_a_refusal_asks_for_basic_authentication(target: Target, path: str) -> None:
    got = Browser(made(target, open_role=None, users=(ANN,))).get(path)

    assert got.status == 401
    assert got.headers["WWW-Authenticate"].startswith("Basic")
    assert got.headers["Cache-Control"] == "no-store"


def test_the_redirect_after_an_act_is_not_cached(browser: Browser) -> None:
    got = browser.post("/queues/mail/pause")

    assert got.headers["Cache-Control"] == "private, no-store"


def test_a_page_about_an_outage_becomes_the_page_that_it_stands_for_but_no_act_again() -> None:
    away = Browser(made(Target("postgresql://127.0.0.1:1/nothing")))

    page, act = away.get("/queues"), away.post("/queues/mail/pause")

    assert (page.status, act.status) == (503, 503)
    assert ('hx-get="/queues"' in page.text, "hx-get" in act.text) == (True, False)


@pytest.mark.parametrize(
    ("error", "status", "sentence"),
    [
        (psycopg.errors.QueryCanceled("canceling"), 503, "took longer than 5 s"),
        (SchemaError("the tables are too old"), 500, "The tables are too old."),
        (psycopg.errors.UndefinedTable("no such table"), 500, "Something went wrong."),
        (ZeroDivisionError("secret"), 500, "Something went wrong."),
    ],
    ids=lambda given: type(given).__name__,
)
def test_an_error_has_its_status_and_its_sentence(
    browser: Browser,
    page_that: Callable[[Callable[[Session], Any]], None],
    error: Exception,
    status: int,
    sentence: str,
) -> None:
    def fail(_session: Session) -> None:
        raise error

    page_that(fail)

    for path in ("/queues", "/api/v1/queues"):
        got = browser.get(path)
        assert got.status == status
        assert sentence in got.text


def test_a_slow_page_comes_again_and_only_a_search_is_to_be_narrowed(
    browser: Browser, page_that: Callable[[Callable[[Session], Any]], None]
) -> None:
    def fail(_session: Session) -> None:
        raise psycopg.errors.QueryCanceled("canceling")

    page_that(fail)

    plain, sought = browser.get("/queues").text, browser.get("/queues?q=class:x").text

    assert 'data-parts="jobs"' in plain
    assert ("Narrow" in plain, "Narrow what you search for." in sought) == (False, True)


def test_a_program_learns_that_the_database_is_away() -> None:
    away = Browser(made(Target("postgresql://127.0.0.1:1/nothing")))

    error = away.get("/api/v1/queues").json()["error"]

    assert error.startswith("The database can't be reached now.")
    assert "page" not in error


def test_a_page_has_some_seconds_and_its_errors_keep_no_connection(
    browser: Browser, page_that: Callable[[Callable[[Session], Any]], None]
) -> None:
    bounds: list[Any] = []

    def fail(session: Session) -> None:
        bounds.extend(session.connection.execute("SHOW statement_timeout").fetchall())
        session.connection.execute("SELECT 1 / 0")

    page_that(fail)

    got = [browser.get("/queues").status for _ in range(6)]

    assert bounds == [("5s",)] * 6
    assert got == [500] * 6
    assert browser.get("/limits").status == 200
