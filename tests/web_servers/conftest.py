"""A project whose jobs and web application are in one folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.project import Project

_JOBS = """
from jobsd import job

@job
def hello(n):
    return None
"""
_WSGI = """
import os
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]
"""
_PAGE = Path(__file__).parents[2] / "docs/guide/web-server.md"
_ASGI = """
import os
from starlette.responses import PlainTextResponse
from starlette.routing import Route
async def pid(request):
    return PlainTextResponse(str(os.getpid()))
app.routes.append(Route("/", pid))
"""


@pytest.fixture
def project(tmp_path: Path, empty_database: str) -> Project:
    """A project with a job, and one application each for WSGI and ASGI."""
    made = Project(tmp_path, empty_database)
    shown = _PAGE.read_text(encoding="utf-8").split("```python\n")[1].split("```")[0]
    made.write("config/queue.yml", "import: [web_jobs]\n")
    made.write("web_jobs.py", _JOBS)
    made.write("wsgi_app.py", _WSGI)
    made.write("asgi_app.py", shown + _ASGI)
    return made
