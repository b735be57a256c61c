"""The jobs that are run: what they do costs little, or a known time."""

from __future__ import annotations

import asyncio
import mmap
import os
import time
from functools import cache
from pathlib import Path

from jobsd import FunctionJob, Limit, Unique, constant, current_job, job

STAMPS_VARIABLE = "JOBSD_BENCHMARKS_STAMPS"
_MILLISECOND_S = 0.001
SLEEP_S = 0.02
"""Of a coroutine that waits."""


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


@job(name="async-noop")
async def noop_on_loop(_number: int) -> None:
    """Do nothing, on the loop."""


@job(name="async-sleep")
async def sleep_on_loop(_number: int) -> None:
    """Wait for 20 ms, as for a service."""
    await asyncio.sleep(SLEEP_S)


@job(name="bounded", timeout="10s")
def bounded(_number: int) -> None:
    """Do nothing, with a time limit."""


@job(name="unique", unique=Unique())
def unique(_number: int) -> None:
    """Do nothing; there is one for each argument."""


@job(name="with-result", result_ttl="1h")
def with_result(number: int) -> int:
    """Return the argument."""
    return number


@job(name="large")
def large(_number: int, _text: str = "x" * 1000) -> None:
    """Do nothing, with an argument of a kilobyte."""


@job(name="tagged", tags=("billing", "eu"))
def tagged(_number: int) -> None:
    """Do nothing, with two tags."""


@job(name="failing-once", max_attempts=2, backoff=constant(0))
def failing_once(_number: int) -> None:
    """Fail at the first attempt."""
    if current_job().attempt == 1:
        raise ValueError("the first attempt fails")


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
