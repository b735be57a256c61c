"""Requests that no browser sends, as bytes: none has two meanings, and none breaks a page."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from dashboard.asking import Browser, made
from enqueueing.placed import enqueue
from jobsd.configuration.users import User
from jobsd.daemon.tree.listener import bound
from jobsd.web.serving import Serving

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobsd.database.connection import Target
    from rows import Rows

HOST = b"Host: 127.0.0.1\r\n"
OWN = HOST + b"Sec-Fetch-Site: same-origin\r\n"
PAUSE = b"POST /queues/mail/pause HTTP/1.1\r\n" + OWN + b"Content-Length: 0\r\n\r\n"
"""What an enemy wants a proxy to let through unseen."""
UNCLEAR = {
    "a length and chunks": (b"1.1", b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"),
    "chunks and a length": (b"1.1", b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"),
    "chunks before 1.1": (b"1.0", b"Connection: keep-alive\r\nTransfer-Encoding: chunked\r\n"),
    "an unknown encoding": (b"1.1", b"Transfer-Encoding: xchunked\r\n"),
    "chunks that are not last": (b"1.1", b"Transfer-Encoding: chunked, identity\r\n"),
    "a name with a space": (b"1.1", b"Transfer-Encoding : chunked\r\n"),
    "two lengths": (b"1.1", b"Content-Length: 0\r\nContent-Length: 5\r\n"),
    "a list of lengths": (b"1.1", b"Content-Length: 5, 5\r\n"),
    "a signed length": (b"1.1", b"Content-Length: +5\r\n"),
    "a negative length": (b"1.1", b"Content-Length: -5\r\n"),
    "a null in a header": (b"1.1", b"X: a\0b\r\n"),
    "a bare return": (b"1.1", b"X: a\rContent-Length: 5\r\n"),
}


@pytest.fixture
def port(target: Target) -> Iterator[int]:
    listener = bound("127.0.0.1:0")
    serving = Serving(made(target), listener)
    serving.start()
    yield listener.getsockname()[1]
    serving.stop()


def _answered(port: int, *parts: bytes) -> bytes:
    """Send bytes, and nothing behind them; return all that comes until the server closes."""
    with socket.create_connection(("127.0.0.1", port), 60) as client:
        client.sendall(b"".join(parts))
        client.shutdown(socket.SHUT_WR)
        found = b""
        while came := client.recv(65_536):
            found += came
    return found


def test_what_could_be_understood_in_two_ways_is_refused_with_all_behind_it(
    port: int, rows: Rows
) -> None:
    for name, (version, headers) in UNCLEAR.items():
        head = b"GET /queues HTTP/" + version + b"\r\n" + HOST + headers + b"\r\n"
        answer = _answered(port, head, b"0\r\n\r\n", PAUSE)
        status = answer.split()[1]
        assert status in {b"400", b"501"}, name
        assert answer.count(b"HTTP/1.") == 1, name

    assert rows("SELECT count(*) FROM jobsd.pauses") == [0]
    assert b"303 See Other" in _answered(port, PAUSE)


@pytest.mark.parametrize(
    ("length", "status"),
    [(b"65536", b"413"), (b"9" * 30, b"413"), (b"-5", b"400"), (b"0", b"303")],
)
def test_a_client_that_expects_100_continue_is_refused_at_once(
    port: int, length: bytes, status: bytes
) -> None:
    head = b"POST /queues/mail/pause HTTP/1.1\r\n" + OWN + b"Connection: close\r\n"
    with socket.create_connection(("127.0.0.1", port), 60) as client:
        client.sendall(
            head + b"Expect: 100-continue\r\nContent-Length: " + length + b"\r\n\r\n"
        )
        answer = client.recv(65_536)

    assert answer.split()[1] == status


def test_a_client_that_expects_100_continue_with_a_fitting_body_gets_it(
    port: int, rows: Rows
) -> None:
    head = b"POST /queues/mail/pause HTTP/1.1\r\n" + OWN + b"Connection: close\r\n"
    with socket.create_connection(("127.0.0.1", port), 60) as client:
        client.sendall(head + b"Expect: 100-continue\r\nContent-Length: 3\r\n\r\n")
        asked = client.recv(65_536)
        client.sendall(b"a=b")
        answer = client.recv(65_536)

    assert asked == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert answer.startswith(b"HTTP/1.1 303 ")
    assert rows("SELECT count(*) FROM jobsd.pauses") == [1]


@pytest.mark.parametrize(
    "host",
    [
        b"",
        b"Host: evil.example\r\n",
        b"Host: 127.0.0.1\r\nHost: evil.example\r\n",
        b"Host: evil.example\r\nX-Forwarded-Host: 127.0.0.1\r\n",
        b"Host: evil.example\r\nHTTP_HOST: 127.0.0.1\r\n",
        b"Host: localhost.evil.example\r\n",
        b"Host: 127.0.0.1@evil.example\r\n",
        b"Host: evil.example:127.0.0.1\r\n",
    ],
    ids=repr,
)
def test_no_other_host_is_reached_by_a_trick(port: int, host: bytes) -> None:
    answer = _answered(port, b"GET /queues HTTP/1.1\r\n", host, b"\r\n")

    assert answer.startswith(b"HTTP/1.1 421 ")


@pytest.mark.parametrize("method", ["OPTIONS", "TRACE", "CONNECT", "PATCH", "PROPFIND"])
def test_no_other_method_does_or_echoes_anything(port: int, rows: Rows, method: str) -> None:
    line = f"{method} /queues/mail/pause HTTP/1.1\r\n".encode()
    answer = _answered(port, line, OWN, b"X-Secret: 1234-echoed\r\n\r\n")

    assert int(answer.split()[1]) in {403, 404, 405}
    assert b"1234-echoed" not in answer
    assert b"Access-Control-" not in answer
    assert rows("SELECT count(*) FROM jobsd.pauses") == [0]


def test_a_header_can_be_forged_by_no_other_spelling(port: int, rows: Rows) -> None:
    post = b"POST /queues/mail/pause HTTP/1.1\r\n" + HOST
    for forged in (
        b"Sec_Fetch_Site: same-origin\r\n",
        b"Sec-Fetch-Site: cross-site\r\nSec-Fetch-Site: same-origin\r\n",
        b"Origin: http://127.0.0.1.evil.example\r\n",
        b"Origin: http://evil.example\r\nOrigin: http://127.0.0.1\r\n",
        b"Origin: https://127.0.0.1\r\n",
        b"Origin: http://127.0.0.1:1\r\n",
        b"Referer: http://127.0.0.1/queues\r\n",
    ):
        answer = _answered(port, post, forged, b"Content-Length: 0\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 403 "), forged

    assert rows("SELECT count(*) FROM jobsd.pauses") == [0]


@pytest.mark.parametrize(
    "path",
    [
        "/jobs?q=args.a:" + "[" * 1_500,
        "/jobs?q=args.a:1e999",
        "/jobs?q=args.a:NaN",
        "/jobs?q=args.a:-Infinity",
        "/jobs?q=args.a:" + "9" * 3_900,
        "/jobs?q=args.a:%22%5Cu0000%22",
        "/jobs?q=args.a:%22%5Cud800%22",
        "/jobs?q=%ED%A0%80%00",
        "/jobs?q=class:" + "*a" * 900,
        "/jobs?q=after:1e400s",
        "/jobs?before=999999999999999999999",
        "/bulk?act=retry&q=args.a:1e999",
        "/recurring/preview?schedule=" + "0-59/1," * 400 + "1+*+*+*+*",
        "/recurring/preview?schedule=@daily&time_zone=../../etc/passwd",
    ],
    ids=lambda path: path[:40],
)
def test_no_query_breaks_a_page(browser: Browser, path: str) -> None:
    enqueue()

    assert browser.get(path).status == 200


@pytest.mark.parametrize(
    "args", ["[" * 5_000, "[NaN]", "[1e999]", '["\\ud800"]', '["\\u0000"]']
)
def test_no_arguments_of_a_task_break_it(browser: Browser, rows: Rows, args: str) -> None:
    task = {"key": "beat", "schedule": "every hour", "class": "HeartbeatJob", "args": args}

    got = browser.post("/recurring/add", **task)

    assert got.status in {400, 409}
    assert rows("SELECT count(*) FROM jobsd.recurring_tasks") == [0]


def test_a_number_is_written_with_the_digits_of_ascii(browser: Browser) -> None:
    for path in ("/jobs/\u0661", "/bulk/\u0661"):
        assert browser.get(path.encode().decode("latin-1")).status == 404


def test_no_other_site_can_show_a_message_on_a_page(browser: Browser) -> None:
    sites = ("cross-site", "none", "same-origin")
    path = "/queues?done=Call+0900-evil+now."

    pages = [browser.get(path, **{"Sec-Fetch-Site": site}).text for site in sites]

    assert ['class="flash"' in page for page in pages] == [False, False, True]


def test_nothing_is_kept_in_a_browser_that_could_be_fixed_or_stolen(target: Target) -> None:
    user = User("ann", "admin", password="correct horse")
    log_in = {"Authorization": "Basic YW5uOmNvcnJlY3QgaG9yc2U="}
    browser = Browser(made(target, open_role=None, users=(user,)))
    answers = [
        browser.get("/"),
        browser.get("/", **log_in, Cookie="session=fixed"),
        browser.ask("POST", "/queues/a/pause", {**log_in, "Sec-Fetch-Site": "same-origin"}),
    ]

    assert [got.status for got in answers] == [401, 200, 303]
    for got in answers:
        assert "Set-Cookie" not in got.headers
        assert "no-store" in got.headers["Cache-Control"]
