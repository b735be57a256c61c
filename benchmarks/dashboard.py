"""How soon the pages of the dashboard begin to come, of a queue that is full.

Pages are asked for over HTTP, one after the other, from the server that a tree has, warm. The
reference is a page that asks no database, so a ratio is what reading costs.
"""

from __future__ import annotations

import http.client
import statistics
from contextlib import closing, contextmanager
from functools import partial
from typing import TYPE_CHECKING

from jobsd.clock import monotonic
from jobsd.daemon.listener import bound
from jobsd.web.application import Application
from jobsd.web.serving import Serving
from jobsd.web.settings import LOOPBACK, Settings

from .filling import fill
from .pairs import Case, Contender, Measured

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from .server import Database, Server

_CLASS = "shop.welcome"
_ASKED = 20
"""How often each page is asked for in one run, beside one that warms it."""
_NOTHING = "/recurring/preview?schedule=@daily"
_PAGES = (
    "/",
    "/jobs",
    "/jobs?q=state:failed",
    "/jobs?q=class:absent",
    "/jobs/1",
    "/queues",
    "/recurring",
    "/processes",
    "/limits",
    "/history",
    "/heartbeats",
    "/audit",
    "/system",
)


def cases(server: Server, scale: float) -> Iterator[Case]:
    """Yield a case for each page: a tenth of 50 M finished, 1 M ready, 100,000 failed."""
    with server.database() as database:
        fill(database, _CLASS, int(5_000_000 * scale), state="finished")
        fill(database, _CLASS, int(10_000 * scale), state="failed")
        fill(database, _CLASS, int(100_000 * scale))
        database.settle()
        with _served(database) as port:
            reference = Contender("no database", partial(_run, port, _NOTHING))
            for path in _PAGES:
                subject = Contender("jobsd", partial(_run, port, path))
                yield Case(path, subject, reference, target="p95 at most 100 ms")


@contextmanager
def _served(database: Database) -> Generator[int]:
    listener = bound("127.0.0.1:0")
    target = database.target
    settings = Settings(target=lambda: target, open_role="admin", hosts=LOOPBACK)
    serving = Serving(Application(settings), listener)
    serving.start()
    try:
        yield listener.getsockname()[1]
    finally:
        serving.stop()


def _run(port: int, path: str) -> Measured:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        times = [_once(connection, path) for _ in range(1 + _ASKED)][1:]
    p95 = statistics.quantiles(times, n=20, method="inclusive")[-1]
    return Measured({"p50_ms": statistics.median(times), "p95_ms": p95, "max_ms": max(times)})


def _once(connection: http.client.HTTPConnection, path: str) -> float:
    """Return the time until the first byte of an answer, in milliseconds."""
    began = monotonic()
    connection.request("GET", path)
    answer = connection.getresponse()
    took_ms = (monotonic() - began) * 1000
    answer.read()
    if answer.status != 200:
        raise RuntimeError(f"{path} was answered with {answer.status}")
    return took_ms
