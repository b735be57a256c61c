"""The guide: its index has every page, and a test runs what a page shows."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from docs.pages import GUIDE, HOME

if TYPE_CHECKING:
    from pathlib import Path

PAGES = sorted(GUIDE.glob("*.md"))
PROGRAMS = re.compile(r"^```(?:py|python|sql|yaml|ini|console)$", re.MULTILINE)
RUN_ELSEWHERE = {
    "django": "tests/django_app/project.py takes the jobs of the page",
    "flask": "tests/frameworks/test_flask.py runs the program of the page",
    "fastapi": "tests/frameworks/test_fastapi.py runs the program of the page",
    "errors-and-traces": "tests/frameworks/test_pages.py runs the programs of the page",
    "context": "tests/frameworks/test_pages.py runs the programs of the page",
    "containers": "tests/systemd/test_image.py builds the image by the recipe",
    "web-server": "tests/web_servers/conftest.py takes the application of the page",
}
TESTS = "\n".join(
    path.read_text(encoding="utf-8")
    for folder in ("docs", "systemd")
    for path in (HOME / "tests" / folder).glob("test_*.py")
)
RUN = {
    *re.findall(r"docs/guide/([\w-]+)\.md", TESTS),
    *re.findall(r'"([\w-]+)"', " ".join(re.findall(r"guide\(([^)]*)\)", TESTS))),
    *re.findall(r'"([\w-]+)"', " ".join(re.findall(r'"page", (\[[^\]]*\])', TESTS))),
}
"""The pages that a test reads."""


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_a_page_is_in_the_index(page: Path) -> None:
    index = (HOME / "docs/README.md").read_text(encoding="utf-8")

    assert f"(guide/{page.name})" in index


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_every_page_with_programs_has_a_test_that_runs_them(page: Path) -> None:
    shows = PROGRAMS.search(page.read_text(encoding="utf-8")) is not None

    assert not shows or page.stem in RUN | RUN_ELSEWHERE.keys()
