"""How the operator calls us, and how we speak to him: on stderr."""

from __future__ import annotations

import os
import sys


def program() -> str:
    """Return the program's name as it was typed, for hints that can be typed again."""
    called = os.path.basename(sys.argv[0])  # noqa: PTH119 - pathlib is slower than all of this
    if called != "__main__.py":
        return called
    return "bin/jobs" if os.environ.get("JOBSD_HOME") else "python -m jobsd.daemon"


_debug = [False]


def debugs() -> bool:
    """Return whether the operator wants to see tracebacks."""
    return _debug[0]


def debug(*, wanted: bool) -> None:
    """Say whether the operator wants to see tracebacks."""
    _debug[0] = wanted


def note(message: str) -> None:
    """Tell the operator something that is no data, and no password that stands in it."""
    from jobsd.instruments.redaction import redact  # noqa: PLC0415 - help needs it not

    print(redact(message), file=sys.stderr, flush=True)  # noqa: T201 - the command line speaks here


def error(message: str, hint: str = "") -> None:
    """Tell what is wrong, and what could be done about it."""
    note(f"error: {message}")
    if hint:
        note(f"hint: {hint}")
