"""One stream of server-sent events, to one browser.

Our own server writes it from the thread with the event, so that no thread waits for each
browser. Any other WSGI server iterates it, and reserves a thread for it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Self

HEADERS = (
    ("Cache-Control", "no-store"),
    # Ask buffering proxies not to buffer.
    ("X-Accel-Buffering", "no"),
)
CONTENT_TYPE = "text/event-stream; charset=utf-8"
_PING = b":\n\n"


class Stream:
    """The events for one browser: each part that has changed, once, however slow it is."""

    def __init__(self, leave: Callable[[Stream], None]) -> None:
        self._leave = leave
        self._news = threading.Condition()
        self._parts: set[str] = set()
        self._is_reported = True
        self._is_ended = False
        self._push: Callable[[bytes], None] | None = None

    def report(self, parts: frozenset[str]) -> None:
        """Report changed parts; an empty set is a sign of life."""
        with self._news:
            push = self._push
            if push is None:
                self._parts |= parts
                self._is_reported = True
                self._news.notify()
        if push is not None:
            push(message(parts))

    def hand_over(self, push: Callable[[bytes], None]) -> None:
        """Let a server write the messages, from the thread of each event; b"" is the end."""
        with self._news:
            self._push = push
            waiting, self._parts = frozenset(self._parts), set[str]()
        if waiting:
            push(message(waiting))
        if self._is_ended:
            push(b"")

    def end(self) -> None:
        """End the stream: its browser has left, or we stop."""
        with self._news:
            was_ended, self._is_ended = self._is_ended, True
            self._news.notify()
        if not was_ended:
            self._leave(self)
            if self._push is not None:
                self._push(b"")

    def __iter__(self) -> Self:
        """Iterate the messages, for a server that reserves a thread for it."""
        return self

    def __next__(self) -> bytes:
        """Return the next message; the first one at once, so that the headers go out."""
        with self._news:
            self._news.wait_for(lambda: self._is_reported or self._is_ended)
            if self._is_ended:
                raise StopIteration
            parts, self._parts = frozenset(self._parts), set[str]()
            self._is_reported = False
        return message(parts)

    def close(self) -> None:
        """End the stream, as WSGI servers do when its client is gone."""
        self.end()


def beginning() -> Iterator[bytes]:
    """Yield the first bytes that our own server sends; it then takes the stream itself.

    It has no length, since a server would announce that.
    """
    yield _PING


def message(parts: frozenset[str]) -> bytes:
    """Return an event that names parts; a comment if there are none."""
    if not parts:
        return _PING
    return f"event: changed\ndata: {' '.join(sorted(parts))}\n\n".encode()
