"""A recurring task."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast


@dataclass(frozen=True, slots=True)
class TaskOptions:
    """One entry of recurring.yml, checked.

    Either `class_name`, a registered job, or `command`, a dotted call; never both.
    `arguments` are positional ones (a tuple) or named ones (a dict); as in Solid Queue, a
    mapping at the end of a list holds named ones too, see `call_arguments`.
    `time_zone` is the one to use where the schedule names none. `on_missed` is "skip",
    "once" or "all", `overlap` "allow" or "skip". `source` is FILE:LINE of the entry,
    `arguments_source` FILE:LINE:COLUMN of its arguments, or of its key without any.
    """

    key: str
    class_name: str | None
    command: str | None
    schedule: str
    arguments: tuple[object, ...] | dict[str, object]
    queue_name: str | None
    priority: int | None
    description: str
    time_zone: str
    enabled: bool
    run_at_start: bool
    on_missed: str
    overlap: str
    source: str
    arguments_source: str = ""

    def call_arguments(self) -> tuple[tuple[object, ...], dict[str, object]]:
        """Return the positional arguments and the named ones that the job is called with."""
        if isinstance(self.arguments, dict):
            return (), dict(self.arguments)
        if self.arguments and isinstance(self.arguments[-1], dict):
            return self.arguments[:-1], dict(cast("dict[str, object]", self.arguments[-1]))
        return self.arguments, {}
