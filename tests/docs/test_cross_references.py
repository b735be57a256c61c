"""Each relative link of a document leads to a file, and to a heading where it names one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

HOME = Path(__file__).parents[2]
LINK = re.compile(r"\]\((?!\w+:)([^)#\s]*)(?:#([^)\s]*))?\)")


def _documents() -> list[Path]:
    return sorted(
        path
        for pattern in ("*.md", "docs/**/*.md", "benchmarks/*.md", "packaging/**/*.md")
        for path in HOME.glob(pattern)
    )


def _anchors(page: str) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", page, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", _documents(), ids=lambda path: str(path.relative_to(HOME)))
def test_each_link_leads_somewhere(document: Path) -> None:
    page = re.sub(
        r"^```.*?^```", "", document.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL
    )

    for target, anchor in LINK.findall(page):
        found = (document.parent / target).resolve() if target else document
        assert found.exists(), target
        if anchor:
            assert anchor in _anchors(found.read_text("utf-8")), f"{target}#{anchor}"
