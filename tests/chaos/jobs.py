"""The jobs of a chaos run. Each tells a ledger outside the database what it does.

A line is written by one call that appends, so lines of different processes never mix:
word, number, job, attempt, process, monotonic seconds, key of the limit, result.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jobsd import Discard, Limit, Retry, Snooze, current_job, job
from jobsd.jobs.policy import constant

if TYPE_CHECKING:
    from collections.abc import Generator

ATTEMPTS = 3
"""Of the jobs that are tried again."""
STEP_S = 0.05
"""How long a job sleeps at most at once."""
LIMITS = {
    "chaos.alone": 1, "chaos.three": 3, "chaos.picky": 1, "chaos.novel_alone": 1,
    "chaos.sealed_alone": 1,
}  # fmt: skip


@dataclass(slots=True)
class _Ledger:
    """The file, opened once by each process."""

    pid: int = 0
    fd: int = -1

    def write(self, line: str) -> None:
        if self.pid != os.getpid():
            path = os.environ["CHAOS_LEDGER"]
            self.fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
            self.pid = os.getpid()
        os.write(self.fd, line.encode())


_ledger = _Ledger()


def _report(word: str, n: int, key: str, result: str) -> None:
    now = current_job()
    facts = (word, n, now.id, now.attempt, os.getpid(), f"{time.monotonic():.6f}", key, result)
    _ledger.write(" ".join(map(str, facts)) + "\n")


@contextlib.contextmanager
def reported(n: int, how: str, key: str = "-") -> Generator[None]:
    """Say that a job begins, and how it ends; what strikes it at its end is said behind."""
    begun = False
    try:
        with current_job().shield():
            _report("start", n, key, how)
            begun = True
        yield
        _report("end", n, key, "NoneType")
    except BaseException as error:
        if begun:
            _report("end", n, key, type(error).__name__)
        raise


def work(n: int, seconds: float, how: str, key: str = "-") -> None:
    """Do what the enqueuer has ordered, and say so before and after."""
    with reported(n, how, key):
        die_or_hold(seconds, how)
        # A sleep can't be woken, but there are steps between two.
        for _ in range(1 if how == "hold" else max(1, round(seconds / STEP_S))):
            time.sleep(0 if how == "hold" else min(seconds, STEP_S))
        fail(how)


def die_or_hold(seconds: float, how: str) -> None:
    """End the process, or hold the lock of its interpreter, as far as that was ordered."""
    if how == "die" and current_job().attempt == 1:
        os._exit(3)
    if how == "hold":
        ctypes.PyDLL(None).usleep(int(seconds * 1e6))


def fail(how: str) -> None:
    """Raise what was ordered."""
    attempt = current_job().attempt
    if how == "fail":
        raise ValueError("this job was told to fail")
    if how == "discard":
        raise Discard("this job was told to")
    if how == "retry" and attempt < ATTEMPTS:
        raise OSError("this job was told to fail at first")
    if how == "again" and attempt < ATTEMPTS:
        raise Retry(after=0)
    if how == "nap" and random.random() < 0.5:  # noqa: S311 - no secret
        raise Snooze(0.05)


@job(name="chaos.plain")
def plain(n: int, seconds: float, how: str) -> None:
    """Be tried once."""
    work(n, seconds, how)


@job(name="chaos.tried", max_attempts=ATTEMPTS, backoff=constant(0.1))
def tried(n: int, seconds: float, how: str) -> None:
    """Be tried some times."""
    work(n, seconds, how)


def key_of(_n: int, _seconds: float, _how: str, key: str) -> str:
    """Return the key that the enqueuer has ordered."""
    return key


@job(
    name="chaos.alone",
    max_attempts=ATTEMPTS,
    backoff=constant(0.1),
    limits_concurrency=Limit(to=LIMITS["chaos.alone"], key=key_of, duration=1),
)
def alone(n: int, seconds: float, how: str, key: str) -> None:
    """Run alone of all with its key."""
    work(n, seconds, how, f"chaos.alone/{key}")


@job(
    name="chaos.three",
    limits_concurrency=Limit(to=LIMITS["chaos.three"], key=key_of, duration=1),
)
def three(n: int, seconds: float, how: str, key: str) -> None:
    """Run with two others of its key at most."""
    work(n, seconds, how, f"chaos.three/{key}")


@job(
    name="chaos.picky",
    limits_concurrency=Limit(
        to=LIMITS["chaos.picky"], key=key_of, duration=1, on_conflict="discard"
    ),
)
def picky(n: int, seconds: float, how: str, key: str) -> None:
    """Run alone, or not at all."""
    work(n, seconds, how, f"chaos.picky/{key}")


@job(name="chaos.tick")
def tick() -> None:
    """Be a recurring task."""
    work(0, 0.0, "pass")
