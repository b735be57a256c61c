"""How long a scrape takes, of a tree that has met many queues and classes, and of a full queue.

All is read afresh each time, as for a Prometheus that asks four times a minute: the figures of
the database, how many jobs have come in, what the processes have counted, and the text. The
reference is a tree that has done nothing, on an empty database.
"""

from __future__ import annotations

import statistics
import time
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING

from jobsd.clock import monotonic
from jobsd.database.connection import Session
from jobsd.scoreboard.scoreboard import Scoreboard
from jobsd.supervisor.monitor import scraping
from jobsd.supervisor.monitor.history import History
from jobsd.supervisor.monitor.scraping import Scraping

from .filling import fill, fill_queues, fill_tasks
from .pairs import Case, Contender, Measured

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .server import Database, Server

_CLASS = "shop.welcome"
_ASKED = 11
_REST_S = 1.0
_WORKERS, _QUEUES, _CLASSES, _TASKS = 4, 3000, 500, 500


def cases(server: Server, scale: float) -> Iterator[Case]:
    """Yield the case."""
    with server.database() as full, server.database() as empty:
        fill(full, _CLASS, int(5_000_000 * scale), state="finished")
        fill_queues(full, _CLASS, max(_QUEUES, int(1_000_000 * scale)), _QUEUES)
        fill_tasks(full, _CLASS, _TASKS)
        full.settle()
        subject = Contender("jobsd", partial(_run, full, _busy()))
        nothing = Scoreboard()
        nothing.database_up = 1
        reference = Contender("nothing done", partial(_run, empty, nothing))
        yield Case("3,000 queues", subject, reference, target="at most 1 s")


def _busy() -> Scoreboard:
    """Return the memory of a tree each of whose workers has met all queues and classes."""
    scoreboard = Scoreboard()
    scoreboard.database_up = 1
    for worker in range(_WORKERS):
        entry = scoreboard.entries[worker]
        entry.take("worker", f"worker-{worker}")
        rows = [entry.queue(f"queue-{number}") for number in range(_QUEUES)]
        rows += [entry.job_class(f"shop.class_{number}") for number in range(_CLASSES)]
        for row in rows:
            row.count("finished")
            row.observe(waits_s=[0.2], runs_s=[0.1])
    return scoreboard


def _run(database: Database, scoreboard: Scoreboard) -> Measured:
    with closing(Session(database.target, "benchmark")) as session:
        history = History(session, scoreboard)
        scraping.FIGURES_AGE_S = _REST_S
        with closing(Scraping(database.target, scoreboard, history, share=0.0)) as asked:
            times = [_once(asked) for _ in range(1 + _ASKED)][1:]
    return Measured({"median_ms": statistics.median(times), "max_ms": max(times)})


def _once(asked: Scraping) -> float:
    """Return how long one scrape takes, in milliseconds."""
    began = monotonic()
    asked.answer()
    took_s = monotonic() - began
    # What has been read for this one is too old for the next.
    time.sleep(_REST_S)
    return took_s * 1000
