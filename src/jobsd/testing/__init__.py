"""The test kit: a queue in memory for tests, assertions about it, and a virtual clock.

The plugin of pytest registers itself and has the fixtures `jobs`, `jobs_inline` and
`jobs_clock`. The context managers behind them are here, for unittest and others: `recorded`,
`inline`, `clock`.

Each name is loaded at its first use: pytest imports this wherever jobsd is installed.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .assertions import assert_enqueued, perform_enqueued, refute_enqueued
    from .case import JobsMixin
    from .memory_queue import MemoryQueue
    from .modes import clock, inline, recorded
    from .recorded_job import RecordedJob
    from .virtual_clock import PlannedInstant, VirtualClock

__all__ = [
    "JobsMixin",
    "MemoryQueue",
    "PlannedInstant",
    "RecordedJob",
    "VirtualClock",
    "assert_enqueued",
    "clock",
    "inline",
    "perform_enqueued",
    "recorded",
    "refute_enqueued",
]

_HOMES = {
    "assertions": "assert_enqueued perform_enqueued refute_enqueued",
    "case": "JobsMixin",
    "memory_queue": "MemoryQueue",
    "modes": "clock inline recorded",
    "recorded_job": "RecordedJob",
    "virtual_clock": "PlannedInstant VirtualClock",
}


def __getattr__(name: str) -> object:
    for module, names in _HOMES.items():
        if name in names.split():
            found: object = getattr(import_module(f"{__name__}.{module}"), name)
            return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
