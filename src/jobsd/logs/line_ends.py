"""Tells when a job has printed or logged a line: there it can be interrupted, without a lock.

A job that does nothing else is always found while it writes a line, because the thread that
checks it runs only then. So that thread registers here a function that is called after each
line.
"""

from collections.abc import Callable

_call: Callable[[], None] | None = None


def call_behind_lines(call: Callable[[], None]) -> None:
    """Call this after each line that is printed or logged, in the thread that did so."""
    global _call  # noqa: PLW0603 - the process's one
    _call = call


def line_ended() -> None:
    """Call the registered function; it may raise."""
    if _call is not None:
        _call()
