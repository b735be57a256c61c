"""The name by which the program was called, and its messages on stderr."""

import os
import sys
from collections.abc import Collection

import click

from jobsd.text import closest

from .values import printable_lines


def program() -> str:
    """Return the program's name as it was typed, for hints that can be typed again."""
    called = os.path.basename(sys.argv[0])  # noqa: PTH119 - pathlib is slower than all of this
    if called != "__main__.py":
        return called
    return "bin/jobs" if os.environ.get("JOBSD_HOME") else "python -m jobsd.daemon"


def wants_debug() -> bool:
    """Return whether the command that runs was called with --debug."""
    context = click.get_current_context(silent=True)
    return context is not None and bool(context.obj)


def drop_output() -> None:
    """Write no more to stdout, which accepts no data: Python would flush it at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def note(message: str) -> None:
    """Write to stderr, without passwords and without control characters for the terminal."""
    from jobsd.logs.redaction import redact

    text = printable_lines(redact(message))
    print(text, file=sys.stderr, flush=True)  # noqa: T201 - the one place that does


def error(message: str, hint: str = "") -> None:
    """Report an error, and a possible remedy."""
    note(f"error: {message}")
    if hint:
        note(f"hint: {hint}")


def require_command(ctx: click.Context, word: str, known: Collection[str]) -> None:
    """Refuse an unknown command, and suggest the nearest one."""
    if word not in known:
        near = closest(word, known)
        meant = f"; did you mean {near!r}?" if near else ""
        raise click.UsageError(f"there is no command {word!r}{meant}", ctx)
