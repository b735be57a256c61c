"""The dashboard below a path of real applications of Flask and Starlette."""

from __future__ import annotations

import asyncio
import http.client
import re
import threading
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from a2wsgi import WSGIMiddleware
from flask import Flask
from starlette.applications import Starlette
from starlette.routing import Mount
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.serving import make_server

from frameworks.reported_jobs import fine
from jobsd.web import create_app, reading
from waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from jobsd.database.connection import Target
    from jobsd.enqueueing.client import Client
    from jobsd.web.application import Application

AT = "/app/jobs"
LINKS = re.compile(r'(?:href|src|action|hx-get)="([^"]+)"')
OWN = {"Sec-Fetch-Site": "same-origin"}


@dataclass(frozen=True)
class Got:
    status: int
    headers: Any
    text: str


def _role(environ: dict[str, Any]) -> str | None:
    return str(environ.get("HTTP_X_ROLE") or "") or None


@pytest.fixture
def dashboard(target: Target, default_client: Client) -> Iterator[Application]:
    del default_client
    made = create_app(authorize=_role, target=target)
    yield made
    made.close()


def _in_flask(dashboard: Application) -> Callable[..., Got]:
    app = Flask("shop")
    app.wsgi_app = DispatcherMiddleware(app.wsgi_app, {AT: dashboard})  # type: ignore[method-assign]
    client = app.test_client()

    def ask(method: str, path: str, headers: dict[str, str]) -> Got:
        with client.open(path, method=method, headers=headers) as answer:
            return Got(answer.status_code, answer.headers, answer.get_data(as_text=True))

    return ask


def _in_starlette(dashboard: Application) -> Callable[..., Got]:
    application: Any = dashboard
    wrapped: Any = WSGIMiddleware(application)
    app = Starlette(routes=[Mount("/app", routes=[Mount("/jobs", wrapped)])])

    async def ask_soon(method: str, path: str, headers: dict[str, str]) -> Got:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://shop") as client:
            answer = await client.request(method, path, headers=headers)
            return Got(answer.status_code, answer.headers, answer.text)

    return lambda *asked: asyncio.run(ask_soon(*asked))


@pytest.mark.parametrize("mount", [_in_flask, _in_starlette])
def test_a_mounted_dashboard_works_below_its_path(
    mount: Callable[[Application], Callable[..., Got]], dashboard: Application
) -> None:
    job_id = fine.enqueue(1).id
    ask = mount(dashboard)
    viewer, operator = {"X-Role": "viewer"}, {"X-Role": "operator"} | OWN
    one = f"{AT}/jobs/{job_id}"

    pages = [ask("GET", path, viewer) for path in (f"{AT}/", f"{AT}/jobs", one)]
    links = {link for page in pages for link in LINKS.findall(page.text)}
    style = next(link for link in links if link.endswith("style.css"))
    answers = [
        ask("GET", style, {}),
        ask("GET", f"{AT}/", {}),
        ask("POST", f"{one}/discard", viewer | OWN),
        ask("POST", f"{one}/discard", {"X-Role": "operator", "Sec-Fetch-Site": "cross-site"}),
        ask("POST", f"{one}/discard", operator),
    ]
    seen = ask("GET", f"{AT}/api/v1/jobs/{job_id}", viewer)

    assert [page.status for page in pages] == [200] * 3
    assert {link for link in links if not link.startswith((AT, "#"))} == set()
    assert [answer.status for answer in answers] == [200, 403, 403, 403, 303]
    assert answers[-1].headers["Location"].startswith(f"{one}?done=")
    assert '"state": "discarded"' in seen.text


def test_streams_of_a_mounted_dashboard_keep_a_worker_of_the_host_each(
    target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "POLL_S", 0.05)
    monkeypatch.setattr(reading, "PING_S", 0.0)
    reported = create_app(authorize=_role, target=target, live="sse")
    app = DispatcherMiddleware(Flask("shop"), {AT: reported})
    server = make_server("127.0.0.1", 0, app, threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()

    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)) as asking:
        asking.request("GET", f"{AT}/live", headers={"X-Role": "viewer"})
        answer = asking.getresponse()
        lines = [answer.readline() for _ in range(4)]
        during = reported.watching.count
        answer.close()
    # It is noticed when the next ping can't be sent.
    wait_until(lambda: reported.watching.count == 0, 30)
    server.shutdown()
    server.server_close()
    reported.close()

    assert lines[:3] == [b":\n", b"\n", b"event: changed\n"]
    assert during == 1
