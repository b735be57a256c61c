"""Ten times as many jobs are ten times the work of the test kit, in each of its modes."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import jobsd.testing
from jobsd import cancel, job, queues
from jobsd.testing import clock, inline, perform_enqueued, recorded

from .shop import alone, call, welcome

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

FEW, MANY = 20, 200
KIT = str(Path(jobsd.testing.__file__).parent)


@job(name="kit.light", queue="light")
def light(number: int) -> None:
    """Do nothing."""


def _performed(count: int) -> None:
    with recorded():
        for number in range(count):
            light.enqueue(number)
        assert len(perform_enqueued(raises=False)) == count


def _performed_beside_others(count: int) -> None:
    with recorded():
        for number in range(count):
            welcome.enqueue(number)
            light.enqueue(number)
        assert len(perform_enqueued(light, queue="light")) == count


def _of_a_key_each(count: int) -> None:
    with recorded():
        for number in range(count):
            alone.enqueue(number)
        assert len(perform_enqueued()) == count


def _of_one_key(count: int) -> None:
    with recorded():
        for _ in range(count):
            call.enqueue()
        assert len(perform_enqueued()) == count


def _inline_beside_others(count: int) -> None:
    with inline() as jobs:
        for number in range(count):
            welcome.using(wait="1h").enqueue(number)
            light.enqueue(number)
        assert [each.state for each in jobs].count("finished") == count


def _by_the_clock(count: int) -> None:
    with clock() as jobs_clock:
        jobs_clock.tasks.use()
        for number in range(count):
            light.using(wait=number + 1, expires_in="1h").enqueue(number)
        assert len(jobs_clock.advance(count + 1)) == count


def _beside_a_pause(count: int) -> None:
    with recorded():
        queues.pause("light")
        for number in range(count):
            light.enqueue(number)
            welcome.enqueue(number)
        assert len(perform_enqueued()) == count


def _cancelled(count: int) -> None:
    with recorded() as jobs:
        for number in range(count):
            cancel(light.enqueue(number).id or 0)
        assert [each.state for each in jobs].count("discarded") == count


@pytest.mark.parametrize(
    "act",
    [
        _performed,
        _performed_beside_others,
        _of_a_key_each,
        _of_one_key,
        _inline_beside_others,
        _by_the_clock,
        _beside_a_pause,
        _cancelled,
    ],
)
def test_the_work_grows_as_the_jobs_do(act: Callable[[int], None]) -> None:
    act(1)  # what is made at first use

    few, many = _steps_of(act, FEW), _steps_of(act, MANY)

    # Ten times, and a little for the depth of the heaps; a look at each job would be 50 times.
    assert many < 15 * few


def _steps_of(act: Callable[[int], None], count: int) -> int:
    """Return how many instructions of the test kit an act takes, whatever else runs here."""
    steps = 0

    def trace(frame: FrameType, event: str, _arg: object) -> Any:
        nonlocal steps
        if not frame.f_code.co_filename.startswith(KIT):
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        steps += event == "opcode"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        act(count)
    finally:
        sys.settrace(before)
    return steps
