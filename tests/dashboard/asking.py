"""A browser in so far as it sends requests to a WSGI application."""

from __future__ import annotations

import base64
import io
import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from jobsd.web.application import Application
from jobsd.web.settings import LOOPBACK, Settings

MADE: list[Application] = []
"""To be closed behind each test."""


@dataclass(frozen=True)
class Got:
    """What came back."""

    status: int
    headers: dict[str, str]
    text: str

    def json(self) -> Any:
        return json.loads(self.text)


def basic(name: str, password: str) -> dict[str, str]:
    """Return the header of a log-in."""
    text = base64.b64encode(f"{name}:{password}".encode()).decode()
    return {"Authorization": f"Basic {text}"}


class Browser:
    """Asks one application, as a page of it would."""

    def __init__(self, application: Any, host: str = "localhost", **headers: str) -> None:
        self.application = application
        self.host = host
        self.headers = headers

    def get(self, path: str, **headers: str) -> Got:
        return self.ask("GET", path, headers=headers)

    def post(self, path: str, **fields: str) -> Got:
        return self.ask("POST", path, {"Sec-Fetch-Site": "same-origin"}, urlencode(fields))

    def ask(
        self, method: str, path: str, headers: dict[str, str] | None = None, body: str = ""
    ) -> Got:
        path, _, query = path.partition("?")
        environ: dict[str, Any] = {
            "REQUEST_METHOD": method,
            "SCRIPT_NAME": "",
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "HTTP_HOST": self.host,
            "REMOTE_ADDR": "127.0.0.1",
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(body.encode()),
            "CONTENT_LENGTH": str(len(body)),
        }
        for name, value in {**self.headers, **(headers or {})}.items():
            environ[f"HTTP_{name.upper().replace('-', '_')}"] = value
        got: list[Any] = []

        def start_response(status: str, given: list[tuple[str, str]]) -> None:
            got.extend((int(status.split(maxsplit=1)[0]), dict(given)))

        text = b"".join(self.application(environ, start_response)).decode()
        return Got(got[0], got[1], text)


def made(target: Any, **settings: Any) -> Application:
    """Return a dashboard on a database, open to this machine unless it is told otherwise."""
    given: dict[str, Any] = {"open_role": "admin", "hosts": LOOPBACK, **settings}
    application = Application(Settings(target=lambda: target, **given))
    MADE.append(application)
    return application
