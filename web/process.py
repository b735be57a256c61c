"""The process of the tree that serves the dashboard.

Its loop keeps its row in the table of processes, like any other; requests are served by the
threads of `Serving`, over connections of their own. So a database that is away shows as that
on every page, and the process lives on.
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
        """Return what the process's row shows."""
        return {"bind": self._bind}

    def poll(self) -> float:
        """Rest: threads serve."""
        return process.REST_MAX_S

    def doing(self) -> str:
        """Return what the title says."""
        return "stopping" if self._stopping else f"serving {self._bind}"

    def stop(self) -> None:
        """Accept no more; answers under way are finished for a moment."""
        self._serving.stop()
        super().stop()
