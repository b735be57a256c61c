"""Calls a function after each line that a job prints or logs: there it can be interrupted.

A job that only writes lines is always found during a write, because the thread that checks it
gets the interpreter only then. So that thread registers a function here, which is called after
each line, where the job holds no lock.
"""

from collections.abc import Callable

_call: Callable[[], None] | None = None


def call_behind_lines(call: Callable[[], None]) -> None:
    """Call a function after each printed or logged line, in the same thread."""
    global _call  # noqa: PLW0603 - the process's one
    _call = call


def line_ended() -> None:
    """Call the registered function; it may raise."""
    if _call is not None:
        _call()
