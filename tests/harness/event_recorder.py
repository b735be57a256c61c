"""The events that the test's own process emits, recorded until the test ends."""

from __future__ import annotations

import contextlib
from typing import Any

from jobsd.events.events import EVENTS, subscribe

Facts = dict[str, Any]
Emitted = list[tuple[str, Facts]]
"""Events by name, with their facts, in the order in which they were emitted."""


class EventRecorder:
    """Subscribes to events for a test; what it has returned grows with each event."""

    def __init__(self) -> None:
        self._ends = contextlib.ExitStack()

    def events(self, *names: str) -> Emitted:
        """Record these events; a name that ends in a dot means all that begin so; none, all."""
        recorded: Emitted = []
        chosen = [name for name in EVENTS if not names or _is_among(name, names)]
        end = subscribe(lambda event, facts: recorded.append((event.name, facts)), names=chosen)
        self._ends.callback(end)
        return recorded

    def facts(self, name: str) -> list[Facts]:
        """Record the facts of one event."""
        recorded: list[Facts] = []
        end = subscribe(lambda _event, facts: recorded.append(facts), names=[name])
        self._ends.callback(end)
        return recorded

    def close(self) -> None:
        """Record nothing more."""
        self._ends.close()


def names(emitted: Emitted) -> list[str]:
    """Return the names of the events, in their order."""
    return [name for name, _ in emitted]


def _is_among(name: str, names: tuple[str, ...]) -> bool:
    return any(name == each or (each.endswith(".") and name.startswith(each)) for each in names)
