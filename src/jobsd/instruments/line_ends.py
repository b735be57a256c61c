"""Tells when a job has printed or logged a line: there it can be interrupted, without a lock.

Who does nothing else is always met within that: the thread that looks runs only while the line
is written. So it says here what is to be called behind each line.
"""

from collections.abc import Callable

_call: Callable[[], None] | None = None


def call_behind_lines(call: Callable[[], None]) -> None:
    """Let this be called behind each line that is printed or logged, in the thread that did."""
    global _call  # noqa: PLW0603 - the process's one
    _call = call


def line_ended() -> None:
    """Call what is to be called there; it may raise."""
    if _call is not None:
        _call()
