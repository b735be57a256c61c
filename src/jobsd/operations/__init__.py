"""What there is to know of a queue: one definition for commands, pages and JSON.

Each module reads one thing in a session that its caller has opened, and returns rows: what
`--json` of a command prints, a page of the dashboard shows, and `/api/v1` answers. How that
looks on a terminal is the business of `daemon`, how in a browser that of `web`.
"""

from typing import TYPE_CHECKING

from jobsd import late

if TYPE_CHECKING:
    from . import audit, failures, jobs, processes, queues, search, shown_arguments, tasks, why

__all__ = [
    "audit",
    "failures",
    "jobs",
    "processes",
    "queues",
    "search",
    "shown_arguments",
    "tasks",
    "why",
]
__getattr__ = late.modules(__name__, __all__)
