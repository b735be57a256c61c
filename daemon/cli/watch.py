"""`--watch`: prints the result of a command again and again, until it is interrupted.

On a terminal each one is drawn over the one before, so its head does not move, and what does
not fit into the window is left out. In a pipe they follow each other.
"""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import click

from .output import Format, Part, Result, Value, print_result
from .parameters import DURATION
from .verbs import Project, chosen_format

if TYPE_CHECKING:
    from jobsd.database.connection import Session

_HOME, _CLEAR_LINE, _CLEAR_BELOW = "\x1b[H", "\x1b[K", "\x1b[J"
_LEAST_S = 0.1

watch_option = click.option(
    "--watch",
    "every_s",
    is_flag=False,
    flag_value="2s",
    type=DURATION,
    metavar="[EVERY]",
    help="Refresh the screen, every 2s unless given.",
)


@dataclass(frozen=True, slots=True)
class _Redrawn:
    """The parts of a result, drawn over those of the one before."""

    parts: Sequence[Part]

    def lines(self, form: Format) -> Iterator[str]:
        """Yield the lines; on a terminal as one, which moves to the top first."""
        lines = [line for part in self.parts for line in part.lines(form)]
        if not form.terminal:
            yield from lines
            return
        # The last line ends without a newline, which would scroll the head away.
        height = form.height or len(lines) + 1
        kept = [f"{line}{_CLEAR_LINE}" for line in lines[: height - 1]]
        yield _HOME + "\n".join(kept) + _CLEAR_BELOW


def watching(
    project: Project, every_s: float | None, query: Callable[[Session], Result]
) -> Result:
    """Return the result of a query; print one each `every_s` if that is given.

    Raises:
        KeyboardInterrupt: at the interrupt that ends it.
    """
    with project.session() as session:
        if every_s is not None:
            gc.enable()
        while every_s is not None:
            seen = query(session)
            # A sentence on stderr would stand in the midst of the screen.
            parts = (*seen.parts, Value(seen.sentence)) if seen.sentence else seen.parts
            print_result(replace(seen, parts=(_Redrawn(parts),), sentence=""), chosen_format())
            sys.stdout.flush()
            time.sleep(max(every_s, _LEAST_S))
        return query(session)
