"""A program that measures 25 transactions of a session that ends late, beside another's."""

from __future__ import annotations

import os
import signal
import sys
import threading

from benchmarks.meter import Meter, sessions
from benchmarks.server import Server

TRANSACTIONS = 25
LATE_S = 0.5

server = Server(sys.argv[1])
with server.database() as database, database.connect() as other, server.connect() as asking:
    others = sessions(asking, database.name)
    assert others == {other.info.backend_pid}
    connection = database.connect()
    meter = Meter(server, database.name)
    for _ in range(TRANSACTIONS):
        connection.execute("SELECT 1")
    backend = connection.info.backend_pid
    os.kill(backend, signal.SIGSTOP)
    connection.close()
    threading.Timer(LATE_S, os.kill, (backend, signal.SIGCONT)).start()
    print(meter.read(others).transactions)
