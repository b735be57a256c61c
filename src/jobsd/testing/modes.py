"""The modes of the test kit: it records jobs, performs them at once, or has a clock."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from datetime import datetime
from pathlib import Path

from jobsd.enqueueing import backend
from jobsd.jobs import policy

from .memory_queue import MemoryQueue
from .virtual_clock import VirtualClock


@contextlib.contextmanager
def recorded() -> Generator[MemoryQueue]:
    """Record all enqueues, of any kind and in any thread; no database is used."""
    with _standing_in(MemoryQueue()) as queue:
        yield queue


@contextlib.contextmanager
def inline() -> Generator[MemoryQueue]:
    """Perform each job when it is enqueued, with its retries, in the thread that enqueues it.

    If a job fails for good, its enqueue raises its error. Scheduled jobs are only recorded.
    """
    with _standing_in(MemoryQueue(inline=True)) as queue:
        yield queue


@contextlib.contextmanager
def clock(
    start: datetime | None = None, *, project: Path | str | None = None
) -> Generator[VirtualClock]:
    """Record jobs, and perform them when the yielded clock is advanced.

    It begins at `start`, by default now. The recurring tasks are those of the project in the
    folder `project`, by default the working directory.
    """
    virtual = VirtualClock(start, project)
    with _standing_in(virtual.jobs):
        yield virtual


@contextlib.contextmanager
def _standing_in(queue: MemoryQueue) -> Generator[MemoryQueue]:
    before = backend.replace(queue)
    # A test must run alike each time: backoffs have no random part.
    chance = policy.chance_by(lambda: 0.0)
    try:
        yield queue
    finally:
        policy.chance_by(chance)
        backend.replace(before)
