"""The queues, classes and types of errors that a tree counts by name, numbered on first use.

Names are only ever added, so a number belongs to a name for the tree's life, in every process.
Beyond `QUEUES_MAX`, `CLASSES_MAX` or `ERRORS_MAX`, all further ones share the number 0. Each
process keeps the names that it has read in a table of its own, so that a look-up takes as long
for a thousand names as for one.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
import weakref
from typing import NamedTuple

from .words import read_text, write_text

QUEUES_MAX = 1024
CLASSES_MAX = 500
ERRORS_MAX = 256
OTHER = 0
"""The number of all queues beyond the room."""
OTHERS = "*other*"
"""Their common name: no queue can have it."""

_NAME_WORDS = 32
_NAMES_AT = 32
NAMES_WORDS = 33280  # 65 pages, of which each one holds 16 names
_TRIES = 50


class QueueNames:
    """The names, in memory that all processes of a tree share."""

    def __init__(self, words: memoryview[int], most: int = QUEUES_MAX) -> None:
        self._words = words
        self._most = most
        self._numbers: dict[bytes, int] = {}
        self._lock = os.memfd_create("jobsd queues")
        weakref.finalize(self, os.close, self._lock).atexit = False

    def number(self, name: str) -> int:
        """Return the queue's number, a new one if it has none; OTHER if there is no room."""
        key = name.encode()[: _NAME_WORDS * 8]
        if (known := self._numbers.get(key)) is not None:
            return known
        if len(self._numbers) == self._most:
            return OTHER
        self._read()
        if key not in self._numbers and len(self._numbers) < self._most:
            self._add(key)
        return self._numbers.get(key, OTHER)

    def name(self, number: int) -> str:
        """Return the name of a number; OTHERS for that of all further queues."""
        return read_text(self._words, self._at(number), _NAME_WORDS) if number else OTHERS

    def _read(self) -> None:
        """Read the names that were added. Invariant: the count is written after the name."""
        for number in range(len(self._numbers) + 1, self._words[0] + 1):
            self._numbers[self.name(number).encode()] = number

    def _add(self, key: bytes) -> None:
        """Add a name, unless another process holds the lock and was stopped.

        If a process dies with the lock, the kernel releases it.
        """
        tries = 0
        while not self._take_lock():
            tries += 1
            if tries == _TRIES:
                return
            time.sleep(0.001)
        try:
            self._read()
            number = self._words[0] + 1
            if key in self._numbers or number > self._most:
                return
            write_text(self._words, self._at(number), key, _NAME_WORDS)
            self._words[0] = self._numbers[key] = number
        finally:
            fcntl.lockf(self._lock, fcntl.LOCK_UN)

    def _take_lock(self) -> bool:
        with contextlib.suppress(OSError):
            fcntl.lockf(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        return False

    @staticmethod
    def _at(number: int) -> int:
        return _NAMES_AT + (number - 1) * _NAME_WORDS


class Names(NamedTuple):
    """All names of one tree."""

    queues: QueueNames
    classes: QueueNames
    errors: QueueNames
