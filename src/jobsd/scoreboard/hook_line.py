"""The pipe to the hooks process from processes that have not imported the user's modules.

It is made before the first fork, and carries a line of JSON for each call of hooks and for each
event with hooks. Lines are short, so each is written whole or not at all; when the pipe is
full, no process waits.
"""

import contextlib
import json
import os
import select
from collections.abc import Callable, Mapping
from typing import Any, cast

from jobsd.events.error_facts import describe
from jobsd.events.events import Event, subscribe

_LINE_MAX = select.PIPE_BUF
_TEXT_MAX = 1000

Message = dict[str, Any]


class HookLine:
    """One tree's pipe; `hooks` and `events` are the names for which there are hooks."""

    def __init__(self, hooks: frozenset[str], events: frozenset[str]) -> None:
        self.hooks = hooks
        self.events = events
        self.reader, self._writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._rest = b""
        self._unsubscribe: Callable[[], None] | None = None

    def begin_forwarding(self) -> None:
        """Send the events that have hooks: in the supervisor, before its first fork."""
        if self.events:
            self._unsubscribe = subscribe(self.forward, names=self.events)

    def end_forwarding(self) -> None:
        """Send no events: in a child that calls its hooks itself."""
        if self._unsubscribe is not None:
            self._unsubscribe()
            self._unsubscribe = None

    def send(self, message: Mapping[str, object]) -> bool:
        """Send a message; return False if it can't be sent now."""
        # Facts may be of any type, including types without a valid text.
        with contextlib.suppress(OSError, TypeError, ValueError, RecursionError):
            line = json.dumps(message, default=str).encode() + b"\n"
            return len(line) <= _LINE_MAX and os.write(self._writer, line) == len(line)
        return False

    def forward(self, event: Event, facts: Mapping[str, object]) -> None:
        """Send an event; its longest facts are cut, and it is lost when the pipe is full."""
        short = {name: _short(fact) for name, fact in facts.items()}
        if not self.send({"event": event.name, "facts": short}):
            self.send({"event": event.name, "facts": {}})

    def receive(self) -> list[Message]:
        """Return the messages received."""
        raw = self._rest
        with contextlib.suppress(BlockingIOError):
            while more := os.read(self.reader, 65536):
                raw += more
        *lines, self._rest = raw.split(b"\n")
        return [json.loads(line) for line in lines]


def _short(fact: object) -> object:
    if isinstance(fact, BaseException):
        fact = describe(fact)
    if isinstance(fact, dict):
        return {str(key): _short(each) for key, each in cast("Message", fact).items()}
    return fact[-_TEXT_MAX:] if isinstance(fact, str) else fact
