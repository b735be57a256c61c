"""The process of the tree that serves the dashboard.

Its loop keeps its row in the table of processes, like any other; the threads of `Serving`
answer requests, over connections of their own. During an outage of the database every page
reports it, and the process lives on.
"""

import os
import socket
from typing import Any

from jobsd.configuration.options import Options
from jobsd.database.connection import Session, Target
from jobsd.processes import database_loop, process
from jobsd.processes.context import Context

from . import mounting, serving


class WebProcess(database_loop.DatabaseLoop):
    """The loop of the dashboard's process."""

    kind = "web"

    def __init__(
        self, context: Context, target: Target, options: Options, listener: socket.socket
    ) -> None:
        super().__init__(context, Session(target, f"jobsd {context.name}"))
        self._bind = serving.address_of(listener)
        application = mounting.served(options, os.environ, self._bind, lambda: target)
        self._serving = serving.Serving(application, listener, context.entry.count_request)
        self._serving.start()

    def metadata(self) -> dict[str, Any]:
        """Return the columns of the process's row."""
        return {"bind": self._bind}

    def poll(self) -> float:
        """Rest: threads serve."""
        return process.REST_MAX_S

    def doing(self) -> str:
        """Return the activity for the title."""
        return "stopping" if self._stopping else f"serving {self._bind}"

    def stop(self) -> None:
        """Accept no more connections; answers under way have a moment to finish."""
        self._serving.stop()
        super().stop()
