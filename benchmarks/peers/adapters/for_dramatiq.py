"""Dramatiq on Redis: its own program forks processes with threads."""

# The peer's own interpreter runs this file; what it imports is not installed here.
# mypy: ignore-errors
# pyright: basic, reportMissingImports=false, reportAttributeAccessIssue=false

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import dramatiq
from adapter import main, note
from dramatiq.brokers.redis import RedisBroker

dramatiq.set_broker(RedisBroker(url=os.environ["REDIS_URL"]))


@dramatiq.actor(actor_name="noop", queue_name="default")
def noop(number: int) -> None:
    """Note that it has begun."""
    note(number)


def setup() -> None:
    """Do nothing: its broker is new."""


@contextlib.contextmanager
def client() -> Iterator[object]:
    """Give the call that enqueues one; it has none for many."""
    yield noop.send, None


def work(processes: int, threads: int) -> None:
    """Become its program."""
    words = ["for_dramatiq", "-p", str(processes), "-t", str(threads), "--skip-logging"]
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    os.execve(sys.executable, [sys.executable, "-m", "dramatiq", *words], environ)


if __name__ == "__main__":
    main(setup, client, work)
