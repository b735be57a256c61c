"""What processes have logged, as a test reads it: lines, and the events among them."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

from waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterable

    Facts = dict[str, Any]


def events_in(lines: Iterable[str]) -> list[Facts]:
    """Return the events that are among these lines, in their order."""
    found: list[Facts] = []
    for line in lines:
        if line.startswith("{"):
            # What others print may begin so too, and a full pipe tears lines.
            with contextlib.suppress(ValueError):
                found.append(json.loads(line))
    return found


class EventLog:
    """The lines of a log that grows. Whoever reads it says by `read` what is new."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._events: list[Facts] = []
        self._parsed = 0

    def read(self) -> None:
        """Append to `lines` what has come since; called before each look."""

    @property
    def is_complete(self) -> bool:
        """Whether nothing more can come."""
        return False

    def events(self, name: str = "", **facts: Any) -> list[Facts]:
        """Return what was logged so far, or only the events of a name with these facts."""
        self.read()
        fresh = self.lines[self._parsed :]
        self._parsed += len(fresh)
        self._events += events_in(fresh)
        return [
            event
            for event in self._events
            if (not name or event.get("event") == name) and facts.items() <= event.items()
        ]

    def wait_event(
        self, name: str, count: int = 1, within_s: float = 40.0, **facts: Any
    ) -> Facts:
        """Wait until an event with these facts was logged `count` times; return that one."""

        def happened() -> list[Facts]:
            complete = self.is_complete
            found = self.events(name, **facts)
            assert len(found) >= count or not complete, self.reported()
            return found if len(found) >= count else []

        found: list[Facts] = wait_until(
            happened, within_s, lambda: f"{name} {facts} x{count}\n{self.reported()}"
        )
        return found[count - 1]

    def wait_only_event(self, name: str) -> Facts:
        """Wait until an event was logged; fail when it was logged more than once."""
        self.wait_event(name)
        (only,) = self.events(name)
        return only

    def reported(self) -> str:
        """Return the last lines that were logged: what to show when a test fails."""
        return "\n".join(self.lines[-30:])
