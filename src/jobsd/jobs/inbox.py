"""What the job threads of a process ask of its control thread, which alone speaks to the queue.

Each kind of request has a tray. A job's thread puts its request there, and wakes the control
thread; that takes the requests when it comes by, and puts back what it could not answer. A new
kind is one more tray.
"""

from __future__ import annotations

import threading
from itertools import islice
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Key = TypeVar("Key")
Request = TypeVar("Request")


class Inbox:
    """The trays of one process."""

    def __init__(self) -> None:
        self._wake: Callable[[], None] | None = None

    def wake_by(self, wake: Callable[[], None] | None) -> None:
        """Set the function that wakes the control thread."""
        self._wake = wake

    @property
    def is_read(self) -> bool:
        """Whether this process has a control thread: others neither ask nor keep anything."""
        return self._wake is not None

    def wake(self) -> None:
        """Wake the control thread, if there is one."""
        if self._wake is not None:
            self._wake()


INBOX = Inbox()


class Tray(Generic[Key, Request]):
    """The open requests of one kind, by keys; the last one of a key counts."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: dict[Key, Request] = {}

    def __bool__(self) -> bool:
        return bool(self._requests)

    def put(self, key: Key, request: Request) -> None:
        """Leave a request, and wake the control thread; called by the job's thread."""
        with self._lock:
            first = not self._requests
            self._requests[key] = request
        if first:
            INBOX.wake()

    def take(self, most: int | None = None) -> dict[Key, Request]:
        """Take the oldest requests: `most` of them, or all."""
        with self._lock:
            taken = dict(islice(self._requests.items(), most))
            for key in taken:
                del self._requests[key]
        return taken

    def put_back(self, requests: Mapping[Key, Request]) -> None:
        """Leave requests that could not be answered, except where a newer one has come."""
        with self._lock:
            self._requests = {**requests, **self._requests}

    def drop(self, key: Key) -> None:
        """Forget a request that is answered, or that its thread has given up."""
        with self._lock:
            self._requests.pop(key, None)
