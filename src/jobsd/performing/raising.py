"""Raises an interrupt in its own thread, from Python 3.13 on.

There the exception table leaves out the backward jumps of loops that end with a condition. An
exception that another thread has sent is raised at such a jump, and skips the `finally`,
`except` and `with` around the loop. So each code object on the stack of the thread gets events
of `sys.monitoring`, and the thread raises the interrupt itself: after a call or at the head of
a loop. Python raises a sent exception at the same points, but here the handlers around them
apply. The events end once the interrupt has come. Trace functions are not touched. Another
thread that runs the same code meanwhile is slower, and is not interrupted.
"""

from __future__ import annotations

import bisect
import dis
import itertools
import sys
import threading
from typing import TYPE_CHECKING, Any, NamedTuple

from .frames import authors_frames, is_open

if TYPE_CHECKING:
    from types import CodeType, FrameType

    from jobsd.jobs.interrupts import Interruptible

NEEDED = sys.version_info >= (3, 13)
TOOLS = (3, 4)
"""Two of the six tool ids of a process: those without a predefined use."""
_PASSED_OVER = ("NOP", "EXTENDED_ARG")
_CALLS = ("CALL", "CALL_KW", "CALL_FUNCTION_EX")

_monitoring: Any = getattr(sys, "monitoring", None)


class Places(NamedTuple):
    """Offsets of the instructions of a code object at which an interrupt may be raised."""

    behind_calls: frozenset[int]
    jumps: frozenset[tuple[int, int]]
    """Backward jumps, each with the head of its loop."""
    passed_over: frozenset[int]
    """Instructions without effect: the exception table is not reliable for them."""


class Watch:
    """A thread that must raise an interrupt, and the code that it has run since."""

    __slots__ = ("before", "places", "thread")

    def __init__(self, thread: Interruptible) -> None:
        self.thread = thread
        self.places: dict[CodeType, Places] = {}
        self.before: tuple[FrameType | None, int] = (None, 0)

    def reach(self, frame: FrameType, offset: int) -> None:
        """Raise the interrupt if the thread may do so before this instruction."""
        places = self.places.get(frame.f_code)
        if places is None or offset in places.passed_over:
            return
        (frame_before, before), self.before = self.before, (frame, offset)
        loops = frame_before is frame and (before, offset) in places.jumps
        if (loops or offset in places.behind_calls) and is_open(frame):
            self.thread.deliver()


class Raising:
    """The threads that must raise interrupts, by their ids."""

    def __init__(self) -> None:
        self._watches: dict[int, Watch] = {}
        self._tool: int | None = None
        self._lock = threading.Lock()

    def watch(self, thread: Interruptible, frame: FrameType) -> bool:
        """Let the thread (in this frame) raise its interrupt; return whether it can."""
        with self._lock:
            if self._tool is None and not self._begin():
                return False
            watch = self._watches.setdefault(thread.thread_id, Watch(thread))
            for code in {each.f_code for each in authors_frames(frame)}:
                if code not in watch.places:
                    watch.places[code] = _places(code)
                    _monitoring.set_local_events(
                        self._tool, code, _monitoring.events.INSTRUCTION
                    )
            return True

    def leave(self, thread: Interruptible) -> None:
        """Stop watching a thread, without a trace."""
        with self._lock:
            left = self._watches.pop(thread.thread_id, None)
            if left is None:
                return
            for code in left.places:
                if not any(code in other.places for other in self._watches.values()):
                    _monitoring.set_local_events(self._tool, code, 0)
            if not self._watches:
                self._end()

    def _begin(self) -> bool:
        for tool in TOOLS:
            if _monitoring.get_tool(tool) is None:
                _monitoring.use_tool_id(tool, "jobsd")
                _monitoring.register_callback(tool, _monitoring.events.INSTRUCTION, self._reach)
                self._tool = tool
                return True
        return False

    def _end(self) -> None:
        _monitoring.register_callback(self._tool, _monitoring.events.INSTRUCTION, None)
        _monitoring.free_tool_id(self._tool)
        self._tool = None

    def _reach(self, _code: CodeType, offset: int) -> None:
        watch = self._watches.get(threading.get_ident())
        if watch is not None:
            watch.reach(sys._getframe(1), offset)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]


RAISING = Raising()


def in_call(frame: FrameType) -> bool:
    """Return whether a frame waits for the end of a call."""
    return _at(frame) in _CALLS


def turns(frame: FrameType) -> bool:
    """Return whether a frame can't wait in C: a short loop is always seen at its jump."""
    return _at(frame) in {"JUMP_BACKWARD", "RESUME"}


def _at(frame: FrameType) -> str:
    return dis.opname[frame.f_code.co_code[frame.f_lasti]]


def _places(code: CodeType) -> Places:
    bytecode: Any = dis.Bytecode(code)
    all_of_them = list(bytecode)
    passed_over = {each.offset for each in all_of_them if each.opname in _PASSED_OVER}
    steps = [each for each in all_of_them if each.offset not in passed_over]
    # The start of each, with the bytes that extend its argument.
    starts = [each.start_offset for each in steps]
    # The stub expects the code object instead.
    labels: Any = dis.findlabels
    targets = labels(code.co_code)
    behind_calls = {
        step.offset
        for before, step in itertools.pairwise(steps)
        if _is_call(before)
        and step.start_offset not in targets
        and _is_within(bytecode, before, step)
    }
    jumps = {
        (each.offset, steps[bisect.bisect_left(starts, each.argval)].offset)
        for each in steps
        if each.opname == "JUMP_BACKWARD"
    }
    return Places(frozenset(behind_calls), frozenset(jumps), frozenset(passed_over))


def _is_call(step: dis.Instruction) -> bool:
    # A function begins with RESUME 0, a generator goes on with RESUME 1; not so an `await`.
    return step.opname in _CALLS or (step.opname == "RESUME" and step.arg in {0, 1})


def _is_within(bytecode: Any, before: dis.Instruction, step: dis.Instruction) -> bool:  # noqa: ANN401 - see `_handler`
    """Return whether the handler of an exception of the first step also covers the second."""
    handler = _handler(bytecode, before.offset)
    return handler is None or handler in _handlers(bytecode, step.offset)


def _handlers(bytecode: Any, offset: int) -> list[int]:  # noqa: ANN401 - see `_handler`
    """Return the handlers of an exception at this offset, from the innermost on."""
    handlers: list[int] = []
    found = _handler(bytecode, offset)
    while found is not None and found not in handlers:
        handlers.append(found)
        found = _handler(bytecode, found)
    return handlers


def _handler(bytecode: Any, offset: int) -> int | None:  # noqa: ANN401 - not in its stub
    entries = bytecode.exception_entries
    found = (each.target for each in entries if each.start <= offset < each.end)
    return next(found, None)
