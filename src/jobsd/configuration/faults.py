"""All that is wrong, gathered instead of raised: an operator wants to hear it once."""

from __future__ import annotations

import difflib
import json
from typing import TYPE_CHECKING

from jobsd.errors import Fault
from jobsd.instruments.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jobsd.configuration.source import Place

_MOST = 200
_LONGEST_SHOWN = 60


class Mistake(Exception):  # noqa: N818  -- one value's; `Faults` makes a fault of it
    """A value can't be taken. The message goes on after the value's name: "must be …".

    With `tells_value` whoever catches it adds what was given instead.
    """

    def __init__(self, message: str, hint: str = "", *, tells_value: bool = True) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.tells_value = tells_value


class Faults:
    """Faults in the order in which they are told: by file, by place, then the settings.

    What is found twice (a value that several sections share) is told once. Bounded: past
    200 faults only their number is kept.
    """

    def __init__(self) -> None:
        self._in_files: dict[str, dict[tuple[int, str], tuple[Place, str]]] = {}
        self._elsewhere: dict[Fault, None] = {}
        self._untold = 0

    def add(self, place: Place, message: str, hint: str = "") -> None:
        """Add what is wrong at a place in a file."""
        known = self._in_files.setdefault(place.source.name, {})
        if (place.start, message) not in known and self._has_room():
            known[place.start, message] = place, hint

    def add_setting(self, source: str, message: str, hint: str = "") -> None:
        """Add what is wrong with a flag or a variable, which `source` names."""
        self.add_fault(Fault(message, source, hint=hint))

    def add_fault(self, fault: Fault) -> None:
        """Add a fault that has no place in a text."""
        if self._has_room():
            self._elsewhere[fault] = None

    @property
    def full(self) -> bool:
        """Whether no more faults are kept: whoever reads on may stop."""
        return self._untold > 0

    def all(self) -> tuple[Fault, ...]:
        """Return the faults in order, without passwords: these are known once all is read."""
        found: list[Fault] = []
        for known in self._in_files.values():
            for key in sorted(known):
                place, hint = known[key]
                found.append(place.fault(key[1], hint))
        found += self._elsewhere
        if self._untold:
            found.append(Fault(f"there are more faults than these {_MOST}"))
        return tuple(map(_without_passwords, found))

    def _has_room(self) -> bool:
        if sum(map(len, self._in_files.values())) + len(self._elsewhere) < _MOST:
            return True
        self._untold += 1
        return False


def _without_passwords(fault: Fault) -> Fault:
    message, source, hint = map(redact, (fault.message, fault.source, fault.hint))
    return Fault(message, source, fault.excerpt, hint)


def nearest(word: str, names: Iterable[str]) -> str | None:
    """Return the name that was probably meant by `word`, if any is near."""
    found = difflib.get_close_matches(word, names, n=1)
    return found[0] if found else None


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
    shown = json.dumps(shortened(text), ensure_ascii=False)
    return "".join(
        character if character.isprintable() else f"\\u{ord(character):04x}"
        for character in shown
    )


def shortened(text: str) -> str:
    """Return `text` without passwords, and no longer than a message can bear."""
    text = redact(text)
    return text if len(text) <= _LONGEST_SHOWN else text[: _LONGEST_SHOWN - 1] + "…"


def label(name: str) -> str:
    """Return a name for a sentence: as it is, or in quotes when it would break the sentence."""
    return name if name.isprintable() and 1 <= len(name) <= _LONGEST_SHOWN else quoted(name)
