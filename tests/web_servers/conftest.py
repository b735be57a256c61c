"""A project whose jobs and web application are in one folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from system.tree import Project

if TYPE_CHECKING:
    from pathlib import Path

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
_ASGI = """
import os
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
import jobsd.asgi
async def pid(request):
    return PlainTextResponse(str(os.getpid()))
app = Starlette(routes=[Route("/", pid)], lifespan=jobsd.asgi.lifespan)
"""


@pytest.fixture
def project(tmp_path: Path, empty_database: str) -> Project:
    """A project with a job, and one application each for WSGI and ASGI."""
    made = Project(tmp_path, empty_database)
    made.write("config/queue.yml", "import: [web_jobs]\n")
    made.write("web_jobs.py", _JOBS)
    made.write("wsgi_app.py", _WSGI)
    made.write("asgi_app.py", _ASGI)
    return made
