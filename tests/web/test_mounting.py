"""The dashboard below a path: of a program that mounts it, and of a proxy before it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from dashboard.asking import Browser, made
from enqueueing.placed import enqueue

if TYPE_CHECKING:
    from jobsd.database.connection import Target
    from rows import Rows


def _mounted(application: Any, at: str) -> Any:
    """Mount an application as WSGI has it: what leads to it is SCRIPT_NAME."""

    def mounted(environ: dict[str, Any], start_response: Any) -> Any:
        path = environ["PATH_INFO"]
        assert path.startswith(at)
        below = {**environ, "SCRIPT_NAME": at, "PATH_INFO": path.removeprefix(at)}
        return application(below, start_response)

    return mounted


@pytest.mark.parametrize("mounted", [True, False])
def test_every_link_of_a_page_leads_below_its_path(
    target: Target, default_client: object, *, mounted: bool
) -> None:
    del default_client
    job_id = enqueue()
    application = made(target, path="" if mounted else "/admin/jobs")
    browser = Browser(_mounted(application, "/admin/jobs") if mounted else application)

    pages = [browser.get(f"/admin/jobs{path}") for path in ("", "/jobs", f"/jobs/{job_id}")]
    linked = re.compile(r'(?:href|src|action|hx-get)="([^"]+)"')
    links = {link for page in pages for link in linked.findall(page.text)}
    done = browser.post(f"/admin/jobs/jobs/{job_id}/discard")

    assert [page.status for page in pages] == [200, 200, 200]
    assert {link for link in links if not link.startswith(("/admin/jobs", "#"))} == set()
    assert done.headers["Location"].startswith(f"/admin/jobs/jobs/{job_id}?done=")
    style = next(link for link in links if link.endswith("style.css"))
    assert browser.get(style).headers["Cache-Control"] == "public, max-age=31536000, immutable"


def test_beside_its_path_there_is_nothing(target: Target) -> None:
    browser = Browser(made(target, path="/admin/jobs"))

    assert browser.get("/admin/jobsx").status == 404
    assert browser.get("/").status == 404


def test_authorize_names_the_visitor_whom_the_audit_shows(
    target: Target, default_client: object, rows: Rows
) -> None:
    del default_client

    def ann(_environ: object) -> tuple[str, str]:
        return "admin", "ann"

    def an_admin(_environ: object) -> str:
        return "admin"

    named = made(target, authorize=ann, open_role=None)
    unnamed = made(target, authorize=an_admin, open_role=None)

    Browser(named).post("/queues/mail/pause")
    Browser(unnamed).post("/queues/images/pause")

    assert rows("SELECT actor FROM jobsd.audit ORDER BY id") == ["ann", "someone"]
