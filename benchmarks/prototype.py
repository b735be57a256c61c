"""A ceiling for the drain: the least that a worker with a thread pool must do, and no more.

Two slim tables and one row for each claimed batch; finished jobs are kept. A claimer thread
takes batches of 100 while at most 100 claimed jobs have not ended; job threads run them; a
finisher thread, on a connection of its own, records in one commit all jobs that ended during
its last commit. No look-up by name, no error, no fence, no retry, no metric, no time of start.
"""

from __future__ import annotations

import json
import mmap
import os
import select
import threading
from queue import SimpleQueue
from typing import TYPE_CHECKING

from jobsd.database.statements import Statements

if TYPE_CHECKING:
    from collections.abc import Callable

    from .server import Connection, Database

    Job = tuple[int, str, int]  # id, arguments as JSON, batch

BATCH = 100
_SCHEMA = "prototype"
_POLL_S = 1.0
_STATEMENTS = Statements("benchmarks", "prototype.sql")


def sql(name: str) -> bytes:
    """Return one of the prototype's statements."""
    return _STATEMENTS[name].render(_SCHEMA)


def make_tables(connection: Connection) -> None:
    """Make the tables of the prototype."""
    connection.execute(f"CREATE SCHEMA {_SCHEMA}".encode(), prepare=False)
    for name in ("make_jobs", "make_ready", "make_ready_order", "make_batches"):
        connection.execute(sql(name), prepare=False)


class Tally:
    """How many jobs are recorded, in shared memory: one word for each process."""

    def __init__(self) -> None:
        self.words: memoryview[int] = memoryview(mmap.mmap(-1, mmap.PAGESIZE)).cast("q")

    def total(self) -> int:
        """Return the sum over all processes."""
        return sum(self.words)


class Worker:
    """One process: a claimer (the thread that calls `run`), job threads, a finisher."""

    def __init__(
        self,
        database: Database,
        threads: int,
        body: Callable[[int], None],
        tally: memoryview[int],
    ) -> None:
        self._database = database
        self._body = body
        self._tally = tally
        self._todo: SimpleQueue[Job | None] = SimpleQueue()
        self._ended: list[Job] = []
        self._in_hand = 0
        self._open: dict[int, int] = {}
        self._changed = threading.Condition()
        self._over = False
        self._job_threads = [threading.Thread(target=self._perform) for _ in range(threads)]
        self._finisher = threading.Thread(target=self._finish)

    def drain(self) -> None:
        """Work until nothing is ready."""
        self._start()
        with self._database.connect() as connection:
            while self._claim(connection):
                pass
        self._end()

    def listen(self, stopping: Callable[[], bool]) -> None:
        """Work until told to stop; wait for notifications when nothing is ready."""
        self._start()
        with self._database.connect() as connection:
            connection.execute("LISTEN prototype", prepare=False)
            while not stopping():
                if not self._claim(connection):
                    select.select([connection.fileno()], [], [], _POLL_S)
                    connection.pgconn.consume_input()
                    while connection.pgconn.notifies():
                        pass
        self._end()

    def _start(self) -> None:
        for thread in (*self._job_threads, self._finisher):
            thread.start()

    def _end(self) -> None:
        for _ in self._job_threads:
            self._todo.put(None)
        for thread in self._job_threads:
            thread.join()
        with self._changed:
            self._over = True
            self._changed.notify_all()
        self._finisher.join()

    def _claim(self, connection: Connection) -> bool:
        """Take a batch once there is room for one; return whether any job was ready."""
        with self._changed:
            while self._in_hand > BATCH:
                self._changed.wait()
        jobs: list[Job] = connection.execute(sql("claim"), (BATCH, os.getpid())).fetchall()
        if not jobs:
            return False
        with self._changed:
            self._in_hand += len(jobs)
            self._open[jobs[0][2]] = len(jobs)
        for job in jobs:
            self._todo.put(job)
        return True

    def _perform(self) -> None:
        while (job := self._todo.get()) is not None:
            self._body(*json.loads(job[1]))
            with self._changed:
                self._ended.append(job)
                self._changed.notify()

    def _finish(self) -> None:
        with self._database.connect() as connection:
            while ended := self._next_ended():
                connection.execute(
                    sql("finish"), (self._batches_done(ended), [job[0] for job in ended])
                )
                self._tally[0] += len(ended)
                with self._changed:
                    self._in_hand -= len(ended)
                    self._changed.notify_all()

    def _next_ended(self) -> list[Job]:
        with self._changed:
            while not self._ended and not self._over:
                self._changed.wait()
            ended, self._ended = self._ended, []
            return ended

    def _batches_done(self, ended: list[Job]) -> list[int]:
        done: list[int] = []
        with self._changed:
            for _, _, batch in ended:
                self._open[batch] -= 1
                if not self._open[batch]:
                    done.append(batch)
                    del self._open[batch]
        return done
