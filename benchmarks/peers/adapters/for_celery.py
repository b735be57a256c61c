"""Celery on Redis, with its pool of threads."""

# The peer's own interpreter runs this file; what it imports is not installed here.
# mypy: ignore-errors
# pyright: basic, reportMissingImports=false, reportAttributeAccessIssue=false

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from adapter import main, note
from celery import Celery

app = Celery("for_celery", broker=os.environ["REDIS_URL"])
app.conf.task_ignore_result = True
app.conf.worker_hijack_root_logger = False


@app.task(name="noop")
def noop(number: int) -> None:
    """Note that it has begun."""
    note(number)


def setup() -> None:
    """Do nothing: its broker is new."""


@contextlib.contextmanager
def client() -> Iterator[object]:
    """Give the call that enqueues one; it has none for many."""
    yield noop.delay, None


def work(_processes: int, threads: int) -> None:
    """Become its worker."""
    words = ["-A", "for_celery:app", "worker", "-P", "threads", "-c", str(threads)]
    words += ["-l", "WARNING", "-n", f"w{os.getpid()}@%h"]
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    os.execve(sys.executable, [sys.executable, "-m", "celery", *words], environ)


if __name__ == "__main__":
    main(setup, client, work)
