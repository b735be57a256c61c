"""The programs of the pages about errors, traces and contexts, in a real tree."""

from __future__ import annotations

import contextlib
import gzip
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from docs.pages import blocks, guide
from harness.project import Project
from jobsd.database.connection import Target
from jobsd.database.migrate import migrate

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.system


class Inbox(BaseHTTPRequestHandler):
    """Takes what Sentry's SDK sends."""

    items: list[dict[str, Any]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers["Content-Encoding"] == "gzip":
            body = gzip.decompress(body)
        for line in body.splitlines():
            with contextlib.suppress(ValueError):
                self.items.append(json.loads(line))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
        pass


@pytest.fixture
def inbox() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    items: list[dict[str, Any]] = []
    made = type("_Inbox", (Inbox,), {"items": items})
    with ThreadingHTTPServer(("127.0.0.1", 0), made) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://key@127.0.0.1:{server.server_port}/1", items
        server.shutdown()


def test_the_programs_of_the_pages_report_the_described_events(
    tmp_path: Path, empty_database: str, inbox: tuple[str, list[dict[str, Any]]]
) -> None:
    dsn, items = inbox
    migrate(Target(empty_database))
    project = Project(tmp_path, empty_database, SENTRY_DSN=dsn)
    sentry, otel = blocks(guide("errors-and-traces"), "python")
    context, enqueues = blocks(guide("context"), "python")
    for name, program in (("of_sentry", sentry), ("of_otel", otel), ("of_context", context)):
        project.write(f"{name}.py", program)
    project.write("config/queue.yml", "import: [of_sentry, of_otel, of_context]\n")

    project.python(
        "from of_sentry import charge\nfrom of_otel import welcome\nfrom of_context import *\n"
        f"charge.enqueue(5)\nwelcome.enqueue(7)\n{enqueues}"
    )
    done = project.run("start", "--until-empty", "--log-format", "json")

    assert done.returncode == 0, done.stderr
    reported = [each for each in items if "exception" in each]
    assert [each["contexts"]["jobsd"]["attempt"] for each in reported] == [1, 2]
    assert any(each.get("transaction") == "of_otel.welcome" for each in items)
    assert "process mail" in done.stdout
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    (greeting,) = (line for line in lines if line["event"] == "greeting")
    assert (greeting["request_id"], greeting["tenant"]) == ("r-17", "acme")
    assert greeting["class_name"] == "of_context.greet"
