"""Processes that are made ready one by one and then set to work together."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, NoReturn, TypeVar

from jobsd.clock import monotonic
from jobsd.supervisor.kernel import die_with_parent

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection as Pipe

T = TypeVar("T")

_FORK = multiprocessing.get_context("fork")
_PATIENCE_S = 600.0


@dataclass(frozen=True, slots=True)
class Lap(Generic[T]):
    """One child's work: its begin and end (monotonic), its processor time, its result."""

    began: float
    ended: float
    cpu_s: float
    value: T


class ChildError(Exception):
    """A child has failed; holds its traceback."""


class Children(Generic[T]):
    """So many children of this process, each with a work of its own.

    `prepare(number)` runs in the child and returns its work; the works begin together
    at `go`. A parent that has threads must not make any.
    """

    def __init__(self, count: int, prepare: Callable[[int], Callable[[], T]]) -> None:
        self.pids: list[int] = []
        self._pipes: list[Pipe[str, Lap[T] | str]] = []
        for number in range(count):
            ours, theirs = _FORK.Pipe()
            pid = os.fork()
            if pid == 0:
                ours.close()
                _live(theirs, prepare, number)
            theirs.close()
            self.pids.append(pid)
            self._pipes.append(ours)
        for pipe in self._pipes:
            _expect(pipe, "ready")

    def go(self) -> float:
        """Let all begin; return when."""
        began = monotonic()
        for pipe in self._pipes:
            pipe.send("go")
        return began

    def laps(self) -> list[Lap[T]]:
        """Wait for all to end; return what they bring.

        Raises:
            ChildError: when one of them has failed.
        """
        try:
            return [_lap(pipe) for pipe in self._pipes]
        finally:
            for pipe, pid in zip(self._pipes, self.pids, strict=True):
                pipe.close()
                os.waitpid(pid, 0)

    def run(self) -> list[Lap[T]]:
        """Let all begin, and wait for all to end."""
        self.go()
        return self.laps()


def span_s(laps: list[Lap[T]]) -> float:
    """Return the seconds from the first begin to the last end."""
    return max(lap.ended for lap in laps) - min(lap.began for lap in laps)


def cpu_of(laps: list[Lap[T]]) -> float:
    """Return the processor time of all."""
    return sum(lap.cpu_s for lap in laps)


def _lap(pipe: Pipe[str, Lap[T] | str]) -> Lap[T]:
    if not pipe.poll(_PATIENCE_S):
        raise ChildError("a child has not ended in time")
    lap = pipe.recv()
    if isinstance(lap, str):
        raise ChildError(lap)
    return lap


def _expect(pipe: Pipe[str, Lap[T] | str], word: str) -> None:
    if not pipe.poll(_PATIENCE_S) or (said := pipe.recv()) != word:
        raise ChildError(f"a child is not {word}")
    del said


def _live(
    pipe: Pipe[Lap[T] | str, str], prepare: Callable[[int], Callable[[], T]], number: int
) -> NoReturn:
    die_with_parent(signal.SIGKILL)
    try:
        work = prepare(number)
        pipe.send("ready")
        pipe.recv()
        cpu_before, began = time.process_time(), monotonic()
        value = work()
        pipe.send(Lap(began, monotonic(), time.process_time() - cpu_before, value))
    except BaseException:  # noqa: BLE001 - whatever it is, the parent tells it
        pipe.send(traceback.format_exc())
    finally:
        os._exit(0)
