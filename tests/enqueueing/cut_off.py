"""Cuts a connection off while the server works on its statement: nobody hears the answer."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from typing import TYPE_CHECKING

from waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Generator

    from jobsd.database.connection import Session


@contextlib.contextmanager
def cut_off_once_it_waits(session: Session, pid: int, socket_number: int) -> Generator[None]:
    """Lock the table of jobs, and shut the socket of the backend that waits for it."""
    session.connection.execute("LOCK TABLE jobsd.jobs IN ACCESS EXCLUSIVE MODE")
    waits = "SELECT cardinality(pg_blocking_pids(%s)) > 0"

    def cut() -> None:
        wait_until(lambda: session.connection.execute(waits, (pid,)).fetchone() == (True,))
        with socket.socket(fileno=os.dup(socket_number)) as ours:
            ours.shutdown(socket.SHUT_RDWR)

    thread = threading.Thread(target=cut)
    thread.start()
    yield
    thread.join()
