"""What a running job may know of itself."""

from __future__ import annotations

import contextlib
import threading
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator
    from datetime import datetime

_current: ContextVar[CurrentJob] = ContextVar("jobsd_current_job")
_stopping = threading.Event()


@dataclass(frozen=True, slots=True)
class CurrentJob:
    """The job that runs in this thread; `id` is 0 in `perform_now`."""

    id: int
    attempt: int
    queue_name: str
    class_name: str
    deadline: datetime | None = None


def current_job() -> CurrentJob:
    """Return the job that runs in this thread.

    Raises:
        LookupError: when none does.
    """
    try:
        return _current.get()
    except LookupError:
        raise LookupError("no job runs here: current_job() is for use inside a job") from None


def stopping() -> bool:
    """Return whether the worker drains: a long job does well to come to an end."""
    return _stopping.is_set()


@contextlib.contextmanager
def running(job: CurrentJob) -> Generator[None]:
    """Say which job runs in this thread, until the end of the block."""
    token = _current.set(job)
    try:
        yield
    finally:
        _current.reset(token)


def set_stopping() -> None:
    """Say that the process drains."""
    _stopping.set()
