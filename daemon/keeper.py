"""Restarts the embedded server when it crashes while a tree is running.

A server that was stopped on purpose has removed its pid file, and stays stopped. A server
that was killed has left that file, and nothing else would start it until the next command
is run. The thread runs in the monitor, which may have threads because it never forks.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from jobsd.errors import EmbeddedServerError
from jobsd.instruments.events import emit
from jobsd.processes.scoreboard import Scoreboard

if TYPE_CHECKING:
    from jobsd.embedded import Server

POLL_EVERY_S = 2.0


def keep_running(server: Server, scoreboard: Scoreboard) -> None:
    """Restart the server whenever it has crashed, for as long as this process lives."""
    thread = threading.Thread(
        target=_keep, args=(server, scoreboard), name="keeper", daemon=True
    )
    thread.start()


def _keep(server: Server, scoreboard: Scoreboard) -> None:
    pause = threading.Event()
    reported = ""
    while not scoreboard.stopping:
        pause.wait(POLL_EVERY_S)
        try:
            if server.crashed() and not scoreboard.stopping:
                server.ensure()
                emit("embedded.started", after="a crash")
        except EmbeddedServerError as error:
            if reported != (reported := str(error)):
                emit("embedded.awaited", error=reported)
