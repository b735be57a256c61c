"""How soon the pages of the dashboard begin to come, of a queue that is full.

Pages are asked for over HTTP, one after the other, from the server that a tree has, warm. The
reference is a page that asks no database, so a ratio is what reading costs. And a queue is
drained, alone and beside a dashboard of which a page a second and a stream are asked for.
"""

from __future__ import annotations

import http.client
import itertools
import multiprocessing
import statistics
import time
from contextlib import closing, contextmanager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any

from jobsd.clock import monotonic
from jobsd.daemon.tree.listener import bound
from jobsd.web.application import Application
from jobsd.web.serving import Serving
from jobsd.web.settings import LOOPBACK, Settings

from .drain import drain
from .filling import fill
from .jobs import BODIES
from .pairs import Case, Contender, Measured

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from contextlib import AbstractContextManager
    from multiprocessing.connection import Connection

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
    "/jobs?q=nowhere",
    # Jobs of 12 days ago until 6 days ago, or 12 days and one hour at the least scale.
    "/jobs?q=after:12d..11.99d",
    "/jobs?q=finished:9d..8.999d",
    "/jobs?q=started:6.3d..6.29d",
    "/jobs?q=before:9d+class:absent",
    "/jobs?q=ran:%3E10s+after:9d",
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


def drain_cases(server: Server, scale: float) -> Iterator[Case]:
    """Yield a drain, beside a dashboard that is visited and alone."""
    with_one = Contender("beside a dashboard", partial(_drained, server, scale, _visited))
    without = Contender("alone", partial(_drained, server, scale, nullcontext))
    yield Case("drain", with_one, without, target="ratio ≥ 0.97")


def _drained(
    server: Server, scale: float, beside: Callable[[Database], AbstractContextManager[Any]]
) -> Measured:
    """Drain a database in which many jobs have finished."""
    no_op, jobs = BODIES["no-op"].definition.name, max(100, int(600_000 * scale))
    with server.database() as database:
        fill(database, _CLASS, int(500_000 * scale), state="finished")
        fill(database, no_op, jobs)
        database.settle()
        with beside(database):
            return drain(server, database, jobs, 2, 5)


@contextmanager
def _visited(database: Database) -> Generator[None]:
    """Have a process in which a dashboard is served, and visited."""
    # A fork: it inherits the imports, and no thread of ours lives yet.
    context = multiprocessing.get_context("fork")
    ready, begun = context.Pipe(duplex=False)
    child = context.Process(target=_visit, args=(database, begun), daemon=True)
    child.start()
    try:
        ready.recv()
        yield
    finally:
        child.terminate()
        child.join()


def _visit(database: Database, begun: Connection) -> None:
    """Ask for a page a second beside a stream, one after the other, until the process ends."""
    with _served(database) as port:
        stream = http.client.HTTPConnection("127.0.0.1", port)
        stream.request("GET", "/live")
        stream.getresponse()
        for path in itertools.cycle(_PAGES):
            with closing(http.client.HTTPConnection("127.0.0.1", port)) as connection:
                _once(connection, path)
            begun.send(path)
            time.sleep(1)


@contextmanager
def _served(database: Database) -> Generator[int]:
    listener = bound("127.0.0.1:0")
    target = database.target
    settings = Settings(target=lambda: target, open_role="admin", hosts=LOOPBACK, live="sse")
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
