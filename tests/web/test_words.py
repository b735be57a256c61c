"""No word of ours stands on a page without its explanation, and no page lacks a picture."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from dashboard import screenshots
from dashboard.demo import fill
from enqueueing.placed import enqueue
from jobsd.job_states import STATES
from jobsd.web.meanings import MEANINGS, text_of

if TYPE_CHECKING:
    from dashboard.asking import Browser
    from jobsd.database.connection import Session

ROOT = Path(__file__).parents[2]
EXPLAINED = re.compile(r"<div><dt>([^<]+)</dt><dd>([^<]+)</dd></div>")
STATE = re.compile(r'class="state \w+"[^>]*>([^<]+)<')
KINDS = {"supervisor", "monitor", "dispatcher", "scheduler", "worker"}
GLOSSARY = re.compile(r"^\| ([a-z][a-z ]+) \|", re.MULTILINE)


def _glossary() -> set[str]:
    text = (ROOT / "docs/explanation/glossary.md").read_text(encoding="utf-8")
    return {word.strip() for word in GLOSSARY.findall(text)} | set(MEANINGS)


@pytest.fixture
def pages(browser: Browser, session: Session) -> dict[str, str]:
    """All pages of a queue that is full of things."""
    ids = fill(session)
    jobs = [f"/jobs/{job_id}" for job_id in ids.values()]
    asked = [f"/{name}" for name in screenshots.NAMES] + jobs
    asked += ["/", "/recurring/heartbeat", "/history?span=month", "/bulk?act=move&q=queue:mail"]
    found = {path: browser.get(path) for path in asked}
    assert {path: page.status for path, page in found.items()} == dict.fromkeys(found, 200)
    return {path: page.text for path, page in found.items()}


def test_no_word_of_ours_is_on_a_page_without_its_explanation(pages: dict[str, str]) -> None:
    for path, page in pages.items():
        before, _, words = page.partition('<details class="words">')
        explained: dict[str, Any] = dict(EXPLAINED.findall(words))
        shown = text_of(before).lower()
        there = {word for word in MEANINGS if re.search(rf"\b{word}\b", shown)}
        states = {word for word in STATE.findall(before) if word in _glossary()}

        assert there | states <= explained.keys(), path
        assert all(explained.values()), path


def test_every_state_and_every_kind_of_process_has_a_meaning() -> None:
    assert set(STATES) | KINDS <= MEANINGS.keys()


def test_words_that_a_job_carries_take_no_place_of_ours(browser: Browser) -> None:
    job_id = enqueue("a<!--words-->b")

    page = browser.get(f"/jobs/{job_id}").text

    assert page.count('<details class="words">') == 1
    assert "a&lt;!--words--&gt;b" in page


def test_every_page_has_a_picture_which_a_document_shows() -> None:
    shown = (ROOT / "docs/guide/dashboard.md").read_text(encoding="utf-8")
    shown += (ROOT / "README.md").read_text(encoding="utf-8")
    pictures = {each.name for each in (ROOT / "docs/images").glob("dashboard-*.png")}

    assert pictures == {f"dashboard-{name}.png" for name in screenshots.PICTURES}
    assert {f"dashboard-{name}.png" for name in screenshots.NAMES} <= pictures
    assert [name for name in pictures if name not in shown] == []
