"""Enqueues and drains no-op jobs in a temporary schema, for `bench`."""

import contextlib
import secrets
import sys
import threading
from collections.abc import Generator
from dataclasses import dataclass, replace

from psycopg import errors

from jobsd import clock
from jobsd.configuration.options import JobsOptions, WorkerOptions
from jobsd.database.connection import Session, Statement, Target
from jobsd.database.migrate import migrate
from jobsd.enqueueing import client
from jobsd.errors import SchemaError
from jobsd.jobs import definition
from jobsd.processes import process
from jobsd.processes.context import Context
from jobsd.scoreboard.scoreboard import Scoreboard
from jobsd.worker.worker import Worker

_SHOW_EVERY_S = 0.2


@dataclass(frozen=True, slots=True)
class Result:
    """Seconds for all jobs."""

    enqueue_s: float
    drain_s: float


def run_trial(session: Session, jobs: int, threads: int) -> Result:
    """Enqueue `jobs` jobs at once, then drain them with one worker in this process.

    Raises:
        SchemaError: when the role may not make a schema.
    """
    with _schema(session) as target:
        client.configure(client=client.Client(target))
        began = clock.monotonic()
        client.enqueue_many(_nothing.with_args() for _ in range(jobs))
        enqueued = clock.monotonic()
        _drain(target, jobs, threads)
        return Result(enqueued - began, clock.monotonic() - enqueued)


@definition.job(name="jobsd.bench")
def _nothing() -> None:
    """Do nothing."""


@contextlib.contextmanager
def _schema(session: Session) -> Generator[Target]:
    target = replace(session.target, schema=f"jobsd_bench_{secrets.token_hex(4)}")
    try:
        _make(target)
        yield target
    finally:
        drop = Statement("drop", f'DROP SCHEMA IF EXISTS "{target.schema}" CASCADE')
        session.fetch(drop)


def _make(target: Target) -> None:
    try:
        migrate(target)
    except SchemaError as error:
        if not isinstance(error.__cause__, errors.InsufficientPrivilege):
            raise
        message = "bench creates a schema, and this role may not; use a URL whose role may"
        raise SchemaError(message, remedy="") from error


def _drain(target: Target, jobs: int, threads: int) -> None:
    options = WorkerOptions(threads=threads)
    scoreboard = Scoreboard()
    entry = scoreboard.entries[0]
    entry.take("worker", "worker-bench")
    context = Context(scoreboard, entry, "worker-bench")
    worker = Worker(context, target, options, JobsOptions())
    watch = threading.Thread(target=_stop_when_done, args=(context, jobs), daemon=True)
    watch.start()
    process.run(worker, context)
    watch.join()


def _stop_when_done(context: Context, jobs: int) -> None:
    """End the worker once all jobs are recorded; meanwhile show its progress on a terminal."""
    pause = threading.Event()
    done = 0
    shows_at = 0.0
    while done < jobs:
        pause.wait(0.005)
        done = sum(queue.outcome("finished") for queue in context.entry.queues())
        if sys.stderr.isatty() and (clock.monotonic() >= shows_at or done >= jobs):
            shows_at = clock.monotonic() + _SHOW_EVERY_S
            _show(done, jobs)
    context.request_stop()


def _show(done: int, jobs: int) -> None:
    filled = 30 * done // jobs
    end = "\n" if done >= jobs else ""
    bar = "#" * filled + "." * (30 - filled)
    sys.stderr.write(f"\r[{bar}] {done:,} of {jobs:,}{end}")
    sys.stderr.flush()
