"""What `check` and a start that fails tell: every fault and every warning, as text.

error: workers[0].threads must be a whole number from 1 to 256, not 0
  at config/queue.yml:7:16
     7 |       threads: 0
       |                ^
hint: …
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jobsd.errors import Fault


def render(fault: Fault) -> str:
    """Return a fault as the operator is shown it; plain text, no line end behind it."""
    lines = [_line(f"error: {fault.message}")]
    if fault.source:
        lines.append(_line(f"  at {fault.source}"))
    lines += map(_line, fault.excerpt.splitlines())
    if fault.hint:
        lines.append(_line(f"hint: {fault.hint}"))
    return "\n".join(lines)


def report(faults: Iterable[Fault], warnings: Iterable[str] = ()) -> str:
    """Return all warnings and faults, the faults apart from each other by an empty line."""
    told = [_line(f"warning: {warning}") for warning in warnings]
    blocks = ["\n".join(told)] if told else []
    return "\n\n".join((*blocks, *map(render, faults)))


def _line(text: str) -> str:
    """Return `text` as one line, with nothing that a terminal would obey or can't encode."""
    return "".join(
        character if character.isprintable() else f"\\u{ord(character):04x}"
        for character in text
    )
