"""The states and transitions on the page of a job's life are those of the program."""

from __future__ import annotations

import re
from itertools import product
from pathlib import Path

from jobsd.events.event_list import EVENTS
from jobsd.job_states import STATES

PAGE = (Path(__file__).parents[2] / "docs/explanation/life-of-a-job.md").read_text("utf-8")
OUTSIDE = "[*]"
"""Before a job is stored, and once its row is gone."""


def _rows(heading: str) -> list[list[str]]:
    """Return the cells of the first table below a heading."""
    section = PAGE.partition(f"## {heading}\n")[2]
    table = re.search(r"^\|.*?(?=\n\n)", section, re.MULTILINE | re.DOTALL)
    assert table is not None
    return [line.strip("|").split("|") for line in table[0].splitlines()[2:]]


def _states(cell: str) -> list[str]:
    return [word for word in re.findall(r"\w+", cell) if word in STATES] or [OUTSIDE]


def test_the_page_names_the_tables_of_each_state() -> None:
    named = [state for row in _rows("States") for state in _states(row[0])]

    assert sorted([*named, "lost"]) == sorted(STATES)


def test_each_arrow_of_the_diagram_is_a_row_of_transitions() -> None:
    arrows = set(re.findall(r"^    (\S+) --> (\w+|\[\*\]):", PAGE, re.MULTILINE))
    rows = _rows("Transitions")

    assert arrows
    assert arrows <= {pair for row in rows for pair in product(*map(_states, row[:2]))}


def test_each_event_of_a_transition_is_one_of_ours() -> None:
    named = [name for row in _rows("Transitions") for name in re.findall(r"`(\S+)`", row[-1])]

    assert named
    assert set(named) <= EVENTS.keys()
