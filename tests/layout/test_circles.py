"""No circle of imports, those for type checkers included.

In most rooms not even one that is closed by an import within a function. In `enqueueing` the
client imports what is built on it when it is called.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from layout.modules import imports

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

ROOMS = (
    "jobsd.acts",
    "jobsd.arguments",
    "jobsd.configuration",
    "jobsd.daemon",
    "jobsd.database",
    "jobsd.dispatcher",
    "jobsd.embedded",
    "jobsd.events",
    "jobsd.heartbeat",
    "jobsd.jobs",
    "jobsd.logs",
    "jobsd.metrics",
    "jobsd.operations",
    "jobsd.performing",
    "jobsd.processes",
    "jobsd.recurring",
    "jobsd.scheduler",
    "jobsd.schedules",
    "jobsd.scoreboard",
    "jobsd.states",
    "jobsd.supervisor",
    "jobsd.testing",
    "jobsd.web",
    "jobsd.worker",
)
"""The rooms in which that goes for imports within functions, too."""


@pytest.mark.parametrize("room", ROOMS)
def test_no_module_of_a_room_imports_itself_by_way_of_others(room: str) -> None:
    modules = {name for name in imports(within_functions=True) if name.startswith(f"{room}.")}

    assert modules
    assert _in_circles(modules, within_functions=True) == []


def test_no_module_imports_itself_by_way_of_others() -> None:
    modules = imports(within_functions=False).keys()

    assert len(modules) > 400
    assert _in_circles(modules, within_functions=False) == []


def _in_circles(modules: Iterable[str], *, within_functions: bool) -> list[str]:
    found = imports(within_functions=within_functions)
    return sorted(name for name in modules if name in _reached_from(name, found))


def _reached_from(name: str, named: Mapping[str, set[str]]) -> set[str]:
    """Return all modules that importing this one would import, each `if` taken."""
    reached: set[str] = set()
    waiting = list(named[name])
    while waiting:
        module = waiting.pop()
        if module not in reached:
            reached.add(module)
            waiting += named[module]
    return reached
