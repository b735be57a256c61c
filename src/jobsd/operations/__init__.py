"""Reads queues for commands, pages and JSON: one definition for all three.

Each module reads one subject in a session that its caller has opened, and returns rows:
`--json` of a command prints them, a page of the dashboard shows them, `/api/v1` answers with
them. `daemon` lays them out for a terminal, `web` for a browser.
"""

from typing import TYPE_CHECKING

from jobsd import lazy

if TYPE_CHECKING:
    from . import (
        audit,
        failures,
        jobs,
        processes,
        queues,
        restore,
        search,
        shown_arguments,
        tasks,
        times,
        why,
    )

__all__ = [
    "audit",
    "failures",
    "jobs",
    "processes",
    "queues",
    "restore",
    "search",
    "shown_arguments",
    "tasks",
    "times",
    "why",
]
__getattr__ = lazy.modules(__name__, __all__)
