"""Ends a test of hypothesis at its timeout, too.

The timeout raises pytest's `Failed` in the test, once. Hypothesis takes that for a failing
example, and runs the example again, to shrink and to report it; it hangs again, and nothing
ends that. So the timeout raises what hypothesis lets through, and pytest reports as a failure.
"""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator
    from types import FrameType


class TimedOut(BaseException):
    """A test has not ended in time."""


@pytest.hookimpl(wrapper=True, optionalhook=True)
def pytest_timeout_set_timer() -> Generator[None, object, object]:
    """Let the timeout that was set raise `TimedOut`, where it comes by a signal."""
    is_set = yield
    fail = signal.getsignal(signal.SIGALRM)
    if callable(fail):
        raises = fail

        def strike(number: int, frame: FrameType | None) -> None:
            try:
                raises(number, frame)
            except pytest.fail.Exception as failed:
                raise TimedOut(str(failed)) from None

        signal.signal(signal.SIGALRM, strike)
    return is_set
