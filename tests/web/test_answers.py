"""What an answer has beside its page: its method's form, its headers, its status."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from dashboard.asking import Browser, made
from enqueueing.placed import enqueue
from jobsd.configuration.users import User
from jobsd.database.connection import Target
from jobsd.errors import SchemaError

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobsd.database.connection import Session
    from rows import Rows

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


def _raw(browser: Browser, path: str, accepts: str) -> tuple[dict[str, str], bytes]:
    headers: dict[str, str] = {}

    def start(_status: str, given: list[tuple[str, str]]) -> None:
        headers.update(given)

    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": path, "HTTP_HOST": "localhost"}
    body = b"".join(browser.application({**environ, "HTTP_ACCEPT_ENCODING": accepts}, start))
    return headers, body


@pytest.mark.parametrize("accepts", ["gzip, deflate, br", "br;q=1, GZIP;q=0.5"])
def test_a_body_is_compressed_for_a_client_that_accepts_it(
    browser: Browser, accepts: str
) -> None:
    headers, body = _raw(browser, "/limits", accepts)
    plain, text = _raw(browser, "/limits", "")

    assert (headers["Content-Encoding"], headers["Vary"]) == ("gzip", "Accept-Encoding")
    assert headers["Content-Length"] == str(len(body))
    assert len(body) < len(text) / 2
    assert gzip.decompress(body)[-500:] == text[-500:]
    assert headers["ETag"] == plain["ETag"]
    assert (plain["Vary"], plain.get("Content-Encoding")) == ("Accept-Encoding", None)


@pytest.mark.parametrize(
    ("path", "accepts"),
    [("/limits", "br"), ("/limits", "gzip;q=0"), ("/limits", "gzip; q=0.0"), ("/x", "x-gzip")],
)
def test_a_body_is_left_as_it_is_for_any_other_client(
    browser: Browser, path: str, accepts: str
) -> None:
    headers, body = _raw(browser, path, accepts)

    assert "Content-Encoding" not in headers
    assert body.startswith(b"<!doctype html>")


def test_what_is_short_is_not_compressed(browser: Browser) -> None:
    headers, body = _raw(browser, "/api/v1/queues", "gzip")

    assert ("Content-Encoding" in headers, body) == (False, b"[]\n")


@pytest.mark.parametrize(("size", "is_linked"), [(8_000, False), (9_000, True)])
def test_large_arguments_are_a_link(
    browser: Browser, rows: Rows, size: int, *, is_linked: bool
) -> None:
    job_id = enqueue()
    keywords = "jsonb_build_object('text', repeat('a', %s))"
    rows(
        "UPDATE jobsd.jobs SET arguments ="
        f" jsonb_build_array(jsonb_build_object('$keywords', {keywords}))",
        size,
    )

    page = browser.get(f"/jobs/{job_id}").text

    assert ("a" * 5_000 in page) is not is_linked
    assert (f'<a href="/api/v1/jobs/{job_id}">8.8 KiB as JSON' in page) is is_linked
    assert "a" * size in browser.get(f"/api/v1/jobs/{job_id}").text


def test_a_page_whose_data_has_not_changed_is_not_sent_again(
    target: Target, browser: Browser, rows: Rows
) -> None:
    enqueue()
    tag = browser.get("/jobs").headers["ETag"]
    rows("UPDATE jobsd.jobs SET created_at = created_at")

    same = browser.get("/jobs", If_None_Match=tag)
    other = Browser(made(target, open_role="viewer")).get("/jobs", If_None_Match=tag)
    enqueue()
    changed = browser.get("/jobs", If_None_Match=tag)

    assert (same.status, same.text, same.headers["ETag"]) == (304, "", tag)
    assert (other.status, changed.status) == (200, 200)


def test_a_tag_is_that_of_the_moments_and_not_of_their_ages(
    browser: Browser, monkeypatch: pytest.MonkeyPatch, rows: Rows
) -> None:
    def later(_moment: object) -> str:
        return "an age later"

    enqueue()
    before = browser.get("/jobs")
    monkeypatch.setattr("jobsd.web.rendering.when", later)
    aged = browser.get("/jobs")
    rows("UPDATE jobsd.jobs SET created_at = created_at - interval '1 s'")
    moved = browser.get("/jobs")

    assert "an age later" in aged.text
    assert before.headers["ETag"] == aged.headers["ETag"] != moved.headers["ETag"]
