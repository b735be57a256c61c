"""Draws the output of a terminal as an SVG picture that plays by itself, in dark colours.

Lines appear one after the other, or whole screens replace each other. Readers without motion,
and programs that play none, have the last state. The picture loads nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from rich.console import Console
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Sequence

COLUMNS = 92
_CELL, _LINE, _EDGE = 8.0, 19, 18
_COLOURS = "#6b7681 #ff7b72 #7ee787 #e3b341 #79c0ff #d2a8ff #76e3ea #e6edf3".split()
"""What the eight colours of a terminal are in the picture."""
_STYLE = """\
text{font:13px ui-monospace,SFMono-Regular,Menlo,monospace;fill:#e6edf3;white-space:pre}
.b{font-weight:700}.d{fill:#8b949e}.s{opacity:0}
@keyframes on{to{opacity:1}}@keyframes off{to{opacity:0}}
@media(prefers-reduced-motion:reduce){.s{animation:none!important}.l{opacity:1}}
"""


@dataclass(frozen=True, slots=True)
class Shown:
    """Lines that appear at a time, and disappear at another unless they are the last state."""

    lines: Sequence[str]
    row: int
    from_s: float
    until_s: float | None = None


def picture(title: str, shown: Sequence[Shown]) -> str:
    """Return the picture; `title` is for readers who can't see it."""
    height = max(each.row + len(each.lines) for each in shown) * _LINE + 2 * _EDGE
    width = COLUMNS * _CELL + 2 * _EDGE
    name = escape(title)
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}"'
        f' role="img" aria-label="{name}">'
    )
    return "\n".join(
        (
            head,
            f"<title>{name}</title><style>{_STYLE}</style>",
            '<rect width="100%" height="100%" rx="8" fill="#161b22"/>',
            *map(_group, shown),
            "</svg>\n",
        )
    )


def _group(shown: Shown) -> str:
    times = f"on .01s {shown.from_s:.1f}s forwards"
    last = " l" if shown.until_s is None else ""
    if shown.until_s is not None:
        times += f",off .01s {shown.until_s:.1f}s forwards"
    top = _EDGE + shown.row * _LINE + 13
    texts = (
        f'<text x="{_EDGE}" y="{top + number * _LINE}">{_spans(line)}</text>'
        for number, line in enumerate(shown.lines)
        if line.strip()
    )
    return f'<g class="s{last}" style="animation:{times}">' + "\n".join(texts) + "</g>"


def _spans(line: str) -> str:
    """Return a line of the terminal, with its colours."""
    text = Text.from_ansi(line)
    text.truncate(COLUMNS)
    parts: list[str] = []
    for segment in text.render(Console(width=COLUMNS)):
        words, style = escape(segment.text.rstrip("\n")), segment.style
        names = [] if style is None else [*("b" * bool(style.bold)), *("d" * bool(style.dim))]
        number = style.color.number if style is not None and style.color is not None else None
        fill = "" if number is None else f' fill="{_COLOURS[number % len(_COLOURS)]}"'
        of_class = f' class="{" ".join(names)}"' if names else ""
        known = bool(names or fill)
        parts.append(f"<tspan{of_class}{fill}>{words}</tspan>" if known else words)
    return "".join(parts)
