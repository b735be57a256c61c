"""The list of events, and that it is true of all code that emits them."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import jobsd
from events.events_page import PAGE, page
from jobsd.events import events
from jobsd.events.event_list import EVENTS

if TYPE_CHECKING:
    from collections.abc import Iterator

SOURCES = Path(jobsd.__file__).parent
ROOMS = (SOURCES, *(path for path in SOURCES.iterdir() if path.is_symlink()))
EMITTING = {"emit"}
NAMED_ELSEWHERE = {
    "job.failed": "a table of outcomes, in worker/report",
    "job.retried": "as above",
    "job.discarded": "as above",
    "job.snoozed": "as above",
    "database.unavailable": "one of two, in processes/outage",
    "database.awaited": "as above",
    "job.output": "instruments/logs, which writes it itself",
    "logs.summed": "as above",
    "logs.dropped": "instruments/logs, which writes it itself",
}


def _emitted() -> Iterator[tuple[str, str, set[str]]]:
    """Yield place, event and facts of each call that names an event."""
    for path in sorted(path for room in ROOMS for path in room.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and _called(node) in EMITTING:
                name = next((_text(each) for each in node.args if _text(each) in EVENTS), "")
                facts = {each.arg for each in node.keywords if each.arg}
                if name:
                    place = f"{path.relative_to(SOURCES)}:{node.lineno}"
                    yield place, name, facts


def _called(node: ast.Call) -> str:
    """Return the name of what is called, or would be by a `partial`."""
    function = node.func
    if getattr(function, "id", "") == "partial":
        function = node.args[0]
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def _text(node: ast.expr) -> str:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


@pytest.mark.behaviour(88)
def test_every_event_is_emitted_somewhere() -> None:
    emitted = {name for _, name, _ in _emitted()}

    assert sorted(EVENTS.keys() - emitted - NAMED_ELSEWHERE.keys()) == []


@pytest.mark.behaviour(88)
def test_every_fact_of_an_event_is_in_the_list() -> None:
    unlisted = {
        f"{place} {name}: {fact}"
        for place, name, facts in _emitted()
        for fact in facts - set(EVENTS[name].facts)
    }

    assert sorted(unlisted) == []


def test_the_page_is_made_of_the_list() -> None:
    made = page()

    assert PAGE.read_text(encoding="utf-8") == made, "run tests/events/events_page.py"


def test_the_table_is_read_whole() -> None:
    lines = [line for line in events.EVENTS if line]

    assert len(lines) > 60
    assert all(event.meaning.endswith(".") for event in EVENTS.values())
    assert all(fact.isidentifier() for event in EVENTS.values() for fact in event.facts)


def test_only_events_of_the_level_or_above_are_passed_to_a_subscriber() -> None:
    heard: list[str] = []
    end = events.subscribe(lambda event, _: heard.append(event.name), level="warning")

    events.emit("job.finished", job_id=1)
    events.emit("job.failed", job_id=1)

    end()
    assert heard == ["job.failed"]
    assert not events.is_subscribed("debug")


def test_an_event_that_is_not_in_the_list_can_not_be_emitted() -> None:
    with pytest.raises(KeyError):
        events.emit("job.vanished")
