"""The whole life of some jobs, in whatever schema and under whatever names."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql

from jobsd.configuration.options import DispatcherOptions, JobsOptions, WorkerOptions
from jobsd.database.connection import Session, Target
from jobsd.database.migrate import migrate
from jobsd.database.statements import Statement
from jobsd.dispatcher.dispatcher import Dispatcher
from jobsd.enqueueing import client
from jobsd.enqueueing.client import Client
from jobsd.jobs.definition import job
from jobsd.jobs.limits import Limit
from jobsd.processes.context import Context
from jobsd.scoreboard.scoreboard import Scoreboard
from jobsd.worker.worker import Worker
from waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Generator

ran: list[str] = []
_JOBS = JobsOptions(unknown_class_after_s=0)


@job(name="note")
def note(text: str) -> None:
    ran.append(text)


@job(name="note_limited", limits_concurrency=Limit(to=1, key=lambda text: text))
def note_limited(text: str) -> None:
    ran.append(text)


@job(name="note_failing")
def note_failing(text: str) -> None:
    raise ValueError(text)


class Life:
    """A schema with our tables, and who works in it; rounds are taken by the test."""

    def __init__(self, target: Target) -> None:
        scoreboard = Scoreboard()
        self.session = Session(target, "jobsd test")
        self.target = target
        self._nap = self._context(scoreboard, "worker")
        one = WorkerOptions(threads=2)
        self._worker = Worker(self._nap, target, one, _JOBS)
        beside = DispatcherOptions(batch_size=10)
        self._dispatcher = Dispatcher(
            self._context(scoreboard, "dispatcher"), target, beside, _JOBS
        )

    def begin(self) -> None:
        self._worker.connect()
        self._dispatcher.connect()

    def end(self) -> None:
        self._worker.stop()
        self._worker.disconnect()
        self._dispatcher.disconnect()
        self.session.close()

    def work_until_done(self, within_s: float = 10.0) -> None:
        """Take rounds until no job is left that waits for anything."""
        wait_until(
            lambda: not self.fetch(_LEFT),
            within_s,
            lambda: self.fetch(_LEFT),
            self._take_round,
        )

    def _take_round(self) -> None:
        self._dispatcher.poll()
        socket = self._worker.socket()
        rest_s = min(self._worker.poll(), 0.02)
        self._nap.nap.take(rest_s, [] if socket is None else [socket])

    def fetch(self, query: str, /, **parameters: Any) -> list[tuple[Any, ...]]:
        """Run a statement of the test's own."""
        return self.session.fetch(Statement("test", query), parameters)

    def _context(self, scoreboard: Scoreboard, kind: str) -> Context:
        entry = scoreboard.free_entry()
        assert entry is not None
        entry.take(kind, f"{kind}-test")
        return Context(scoreboard, entry, f"{kind}-test")


_LEFT = """
SELECT id FROM jobsd.jobs
WHERE finished_at IS NULL AND id NOT IN (SELECT job_id FROM jobsd.failed_executions)
"""


@contextlib.contextmanager
def life(url: str, schema: str) -> Generator[Life]:
    """Make the tables in a schema, live there, and drop it."""
    target = Target(url, schema)
    migrate(target)
    client.configure(client=Client(target))
    lived = Life(target)
    try:
        lived.begin()
        yield lived
    finally:
        client.configure()
        lived.end()
        with psycopg.connect(url, autocommit=True) as connection:
            drop = sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(schema))
            connection.execute(drop)
