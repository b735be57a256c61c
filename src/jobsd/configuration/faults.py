"""Faults: all errors in a configuration, collected, and shown to an operator.

error: workers[0].threads must be a whole number from 1 to 256, not 0
  at config/queue.yml:7:16
     7 |       threads: 0
       |                ^
hint: …
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING

from jobsd.errors import Fault
from jobsd.logs.redaction import redact
from jobsd.text import closest, one_line

if TYPE_CHECKING:
    from .source import Node, SourceSpan

_MOST = 200
_LONGEST_SHOWN = 60


class Mistake(Exception):  # noqa: N818  -- one value's; `Faults` makes a fault of it
    """A value is not valid. The message follows the value's name: "must be …".

    With `quotes_value` the fault that is made of it also quotes the given value.
    """

    def __init__(self, message: str, hint: str = "", *, quotes_value: bool = True) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.quotes_value = quotes_value


class Mistakes(Exception):  # noqa: N818 - as above
    """Several items of one value are not valid: the node, its index in words, its mistake."""

    def __init__(self, found: list[tuple[Node, str, Mistake]]) -> None:
        super().__init__()
        self.found = found


class Faults:
    """Faults in the order in which they are shown: by file, by position, then all others.

    A fault that is found twice (in a value that several sections share) is shown once. The
    number is bounded: after 200 faults the others are only counted.
    """

    def __init__(self) -> None:
        self._in_files: dict[str, dict[tuple[int, str], tuple[SourceSpan, str]]] = {}
        self._elsewhere: dict[Fault, None] = {}
        self._left_out = 0

    def add(self, span: SourceSpan, message: str, hint: str = "") -> None:
        """Add a fault at a span of a file, or of a flag or a variable."""
        if not span.source.text:
            self.add_fault(span.fault(message, hint))
            return
        known = self._in_files.setdefault(span.source.name, {})
        if (span.start, message) not in known and self._has_room():
            known[span.start, message] = span, hint

    def add_fault(self, fault: Fault) -> None:
        """Add a fault without a span in a text."""
        if self._has_room():
            self._elsewhere[fault] = None

    @property
    def any(self) -> bool:
        """Whether there are any so far."""
        return any(self._in_files.values()) or bool(self._elsewhere)

    @property
    def full(self) -> bool:
        """Whether no more faults are kept: reading on is useless."""
        return self._left_out > 0

    def all(self) -> tuple[Fault, ...]:
        """Return the faults in order, without passwords: these are known when all is read."""
        found = [
            known[key][0].fault(key[1], known[key][1])
            for known in self._in_files.values()
            for key in sorted(known)
        ]
        found += self._elsewhere
        if self._left_out:
            found.append(Fault(f"there are more faults than these {_MOST}"))
        return tuple(map(_without_passwords, found))

    def _has_room(self) -> bool:
        if sum(map(len, self._in_files.values())) + len(self._elsewhere) < _MOST:
            return True
        self._left_out += 1
        return False


def _without_passwords(fault: Fault) -> Fault:
    message, source, hint = map(redact, (fault.message, fault.source, fault.hint))
    return Fault(message, source, fault.excerpt, hint)


def render(fault: Fault) -> str:
    """Return a fault as text for the operator; plain, without an end of line."""
    lines = [f"error: {fault.message}"]
    if fault.source:
        lines.append(f"  at {fault.source}")
    lines += fault.excerpt.splitlines()
    if fault.hint:
        lines.append(f"hint: {fault.hint}")
    return "\n".join(map(one_line, lines))


def report(faults: Iterable[Fault], warnings: Iterable[str] = ()) -> str:
    """Return all warnings and faults, the faults separated by empty lines."""
    warned = "\n".join(one_line(f"warning: {warning}") for warning in warnings)
    return "\n\n".join((*filter(None, (warned,)), *map(render, faults)))


def nearest(word: str, names: Iterable[str]) -> str | None:
    """Return the name that `word` probably means, if there is a similar one."""
    return closest(word, names) or None


def did_you_mean(word: str, names: Iterable[str], *, otherwise: str = "") -> str:
    """Return the hint that offers the nearest name."""
    name = nearest(word, names)
    return f"did you mean {quoted(name)}?" if name else otherwise


def known(word: str, names: Iterable[str]) -> str:
    """Return the hint for a word that is none of `names`: the nearest, or all of them."""
    names = sorted(names)
    return did_you_mean(word, names, otherwise=f"expected one of {', '.join(names)}")


def quoted(text: str) -> str:
    """Return `text` in quotes, on one line, printable, not too long, without passwords."""
    return one_line(json.dumps(shortened(text), ensure_ascii=False))


def shortened(text: str) -> str:
    """Return `text` without passwords, cut to the length for a message."""
    text = redact(text)
    return text if len(text) <= _LONGEST_SHOWN else text[: _LONGEST_SHOWN - 1] + "…"


def label(name: str) -> str:
    """Return a name for a sentence: as it is, or in quotes when it would break the sentence."""
    return name if name.isprintable() and 1 <= len(name) <= _LONGEST_SHOWN else quoted(name)
