"""Makes the report of a failed test once more when a thread of the test has broken it.

A report parses the sources of its frames, and CPython 3.11 can't do that when another thread
parses meanwhile, to format a traceback (SystemError: AST constructor recursion depth mismatch).
It comes to that where the garbage collector calls Python code, as hypothesis has it do, which
lets other threads run. Nor can a frame be shown that a time limit has struck where its code
belongs to no line (TypeError: unsupported operand type(s) for -: 'NoneType' and 'int').
pytest takes both for errors of its own and ends the whole run with status 3.
"""

from __future__ import annotations

import contextlib
import gc
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator

TRIES = 20
_BROKEN = (SystemError, TypeError)


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Return the report, made anew as often as need be."""
    try:
        return (yield)
    except _BROKEN:
        return _made_again(item, call)


@contextlib.contextmanager
def _without_collector() -> Generator[None]:
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _made_again(item: pytest.Item, call: pytest.CallInfo[None]) -> pytest.TestReport:
    for _ in range(TRIES):
        with contextlib.suppress(*_BROKEN), _without_collector():
            return pytest.TestReport.from_item_and_call(item, call)
    assert call.when != "collect"
    return pytest.TestReport(
        item.nodeid,
        item.location,
        dict.fromkeys(item.keywords, 1),
        "failed",
        f"{call.excinfo!r}\n(nothing more, since its frames can't be shown)",
        call.when,
        duration=call.duration,
        start=call.start,
        stop=call.stop,
    )
