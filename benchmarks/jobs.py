"""The jobs that are run: what they do costs little, or a known time."""

from __future__ import annotations

import mmap
import os
import time
from functools import cache
from pathlib import Path

from jobsd import FunctionJob, Limit, job

STAMPS_VARIABLE = "JOBSD_BENCHMARKS_STAMPS"
_MILLISECOND_S = 0.001


@job(name="noop")
def noop(_number: int) -> None:
    """Do nothing."""


@job(name="alone", limits_concurrency=Limit(key=lambda number: number))
def alone(_number: int) -> None:
    """Do nothing, with a limit of its own for each argument."""


@job(name="sleep")
def sleep(_number: int) -> None:
    """Wait for a millisecond, as for a service."""
    time.sleep(_MILLISECOND_S)


@job(name="compute")
def compute(_number: int) -> None:
    """Use the processor for a millisecond."""
    end = time.thread_time() + _MILLISECOND_S
    while time.thread_time() < end:
        pass


@job(name="stamp")
def stamp(number: int) -> None:
    """Note when it began (monotonic, which all processes of a machine share)."""
    stamps(os.environ[STAMPS_VARIABLE])[number] = time.monotonic()


BODIES: dict[str, FunctionJob[[int], None]] = {
    "no-op": noop,
    "1 ms sleep": sleep,
    "1 ms CPU": compute,
}


def make_stamps(path: Path, jobs: int) -> memoryview[float]:
    """Make the file in which jobs note their begin; return what they write there."""
    path.write_bytes(b"\0" * 8 * jobs)
    path.chmod(0o666)
    os.environ[STAMPS_VARIABLE] = str(path)
    return stamps(str(path))


@cache
def stamps(path: str) -> memoryview[float]:
    """Return the stamps of that file, shared by all who look."""
    with Path(path).open("r+b") as file:
        return memoryview(mmap.mmap(file.fileno(), 0)).cast("d")
