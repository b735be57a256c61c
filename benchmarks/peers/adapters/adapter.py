"""What all adapters in Python have in common: the acts, and what a job notes.

An adapter calls `main` with three functions. `setup()` makes the peer's tables. `client()` is a
context manager of two functions: one enqueues a job by its number, one many by their numbers
(None where the peer has no such call; the first such call, which connects, is not measured).
`work(P, T)` runs the peer's worker until it is told to end. Each may be a coroutine.
"""

# The peer's own interpreter runs this file; what it imports is not installed here.
# mypy: ignore-errors
# pyright: basic, reportMissingImports=false, reportAttributeAccessIssue=false

from __future__ import annotations

import asyncio
import inspect
import json
import os
import struct
import sys
import time
from collections.abc import Callable
from functools import cache
from typing import Any

_STAMP = struct.Struct("<dd")
_BATCH = 1_000


def url() -> str:
    """Return where the peer's tables are."""
    return os.environ["DATABASE_URL"]


def note(number: int) -> None:
    """Note that a job has begun: what each job does."""
    os.write(_stamps(), _STAMP.pack(number, time.time()))


def on_loop() -> bool:
    """Return whether all jobs are to be coroutines, of which many run at once."""
    return "PEER_SLEEP_S" in os.environ


async def note_on_loop(number: int) -> None:
    """Note that a coroutine has begun, and wait as long as it is to: what each one does."""
    note(number)
    if sleep_s := float(os.environ.get("PEER_SLEEP_S", "0")):
        await asyncio.sleep(sleep_s)


@cache
def _stamps() -> int:
    return os.open(os.environ["PEER_STAMPS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)


def main(
    setup: Callable[[], Any], client: Callable[[], Any], work: Callable[[int, int], Any]
) -> None:
    """Do what the command line says, and print figures as one line of JSON."""
    act, *given = sys.argv[1:]
    if act == "setup":
        _finish(setup())
    elif act == "work":
        _finish(work(int(given[0]), int(given[1])))
    else:
        kept = client()
        if hasattr(kept, "__aenter__"):
            print(json.dumps(asyncio.run(_measured(kept, act, given))), flush=True)
        else:
            with kept as (one, many):
                print(json.dumps(_measured_plainly(one, many, act, given)), flush=True)


def _finish(result: Any) -> None:
    if inspect.iscoroutine(result):
        asyncio.run(result)


async def _measured(kept: Any, act: str, given: list[str]) -> dict[str, Any]:
    async with kept as (one, many):
        jobs = int(given[0])
        if act == "spaced":
            returned, due = [], time.time()
            for number in range(jobs):
                await asyncio.sleep(max(0.0, due - time.time()))
                await one(number)
                returned.append(time.time())
                due += float(given[1])
            return {"returned": returned}
        if act == "enqueue":
            await one(-1)
        began = time.perf_counter()
        if act == "enqueue":
            for number in range(jobs):
                await one(number)
        else:
            for first in range(0, jobs, _BATCH):
                await many(range(first, min(jobs, first + _BATCH)))
                if first == 0:
                    began = time.perf_counter()
        return {"seconds": time.perf_counter() - began}


def _measured_plainly(one: Any, many: Any, act: str, given: list[str]) -> dict[str, Any]:
    jobs = int(given[0])
    if act == "spaced":
        returned, due = [], time.time()
        for number in range(jobs):
            time.sleep(max(0.0, due - time.time()))
            one(number)
            returned.append(time.time())
            due += float(given[1])
        return {"returned": returned}
    if act == "enqueue":
        one(-1)
    began = time.perf_counter()
    if act == "enqueue":
        for number in range(jobs):
            one(number)
    else:
        for first in range(0, jobs, _BATCH):
            many(range(first, min(jobs, first + _BATCH)))
            if first == 0:
                began = time.perf_counter()
    return {"seconds": time.perf_counter() - began}
