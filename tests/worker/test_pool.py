"""A stray exception in a thread that runs jobs, wherever it strikes."""

from __future__ import annotations

import ctypes
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

from jobsd.jobs.claimed_job import ClaimedJob
from jobsd.jobs.definition import job
from jobsd.jobs.policy import Discard
from jobsd.performing.hand import ThreadDiedError
from jobsd.performing.pool import Pool
from performing.posted import post
from waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from harness.event_recorder import EventRecorder
    from jobsd.scoreboard.entry import ScoreboardEntry

ran: list[str] = []


class StrayError(BaseException):
    """What nobody in the pool expects."""


class Strike:
    """Raises in the thread that arms it, at the n-th call or return of a call in our code.

    These are the points at which Python raises what another thread has set.
    """

    def __init__(self, at: int) -> None:
        self.at = at
        self.seen = 0
        self.struck = False

    def arm(self) -> None:
        sys.setprofile(self._check)

    def _check(self, frame: FrameType, event: str, _: object) -> None:
        ours = str(frame.f_globals.get("__name__")).startswith("jobsd.")
        if not ours or event not in {"call", "c_return"}:
            return
        self.seen += 1
        if self.seen == self.at:
            self.struck = True
            sys.setprofile(None)
            raise StrayError


strikes: list[Strike] = []


@job
def arm() -> None:
    ran.append("arm")
    strikes[-1].arm()


@job
def succeed(name: str) -> None:
    ran.append(name)


@job
def give_up(name: str) -> None:
    ran.append(name)
    raise Discard


ARM, SUCCEED, GIVE_UP = (each.definition.name for each in (arm, succeed, give_up))
IDS = {"arm": 1, "a": 2, "b": 3}


@pytest.fixture(autouse=True)
def _nothing_ran() -> None:
    ran.clear()


@pytest.fixture(autouse=True)
def _threads_are_checked_at_each_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobsd.performing.pool.CHECK_S", 0.0)


@pytest.fixture
def failed(monkeypatch: pytest.MonkeyPatch, recorder: EventRecorder) -> list[dict[str, Any]]:
    """What was told of threads; those that end tell pytest nothing."""
    monkeypatch.setattr(threading, "excepthook", hush)
    return recorder.facts("thread.failed")


def hush(_: object) -> None:
    """Let a thread die without a warning of pytest's."""


def claimed(job_id: int, body: str, argument: str = "") -> ClaimedJob:
    arguments = f'["{argument}"]' if argument else "[]"
    return ClaimedJob(1, job_id, body, arguments, "default", 0, 1, 0.0, None, 0, job_id)


def collect(pool: Pool, count: int) -> tuple[list[int], bool]:
    """Return the ids of what has ended, all or until the thread died, and whether it lives."""
    ended: list[int] = []
    died = False

    def is_over() -> bool:
        nonlocal died
        try:
            pool.check_threads()
        except ThreadDiedError:
            died = True
        ended.extend(run.job.id for run in pool.collect())
        return died or len(ended) >= count

    wait_until(is_over, 60, "a job was lost")
    return ended, not died


@pytest.mark.failure(
    "an exception is raised in a thread of the pool between two jobs (a late timeout)",
    "no job is lost or runs twice: the thread goes on, or the process ends and reports which"
    " jobs ran",
)
@pytest.mark.timeout(600)  # hundreds of pools, one after the other
@pytest.mark.parametrize("body", [SUCCEED, GIVE_UP])
@pytest.mark.parametrize("at_once", [2, 0])
def test_wherever_a_stray_exception_strikes_no_job_is_lost_or_runs_twice(
    body: str, at_once: int, entry: ScoreboardEntry, failed: list[dict[str, Any]]
) -> None:
    deaths = survived = at = 0
    struck = True
    while struck:
        at += 1
        struck, lives = _strike_at(at, body, entry, at_once)
        deaths += not lives
        survived += lives

    assert survived > 10 * deaths
    assert survived > 20
    assert failed


def _strike_at(at: int, body: str, entry: ScoreboardEntry, at_once: int) -> tuple[bool, bool]:
    ran.clear()
    entry.take("worker", "worker-1")
    strikes.append(Strike(at))
    pool = Pool(1, entry, lambda: None)
    behind = [claimed(2, body, "a"), claimed(3, body, "b")]
    post(pool, claimed(1, ARM), *behind[:at_once])
    if not at_once:
        wait_until(lambda: not pool.in_hand and not entry.in_cells())
        post(pool, *behind)
    ended, lives = collect(pool, 3)
    reported = {each.job_id for each in entry.endings()}
    reported |= {each.job_id for each in (*entry.succeeded(), *entry.running())}
    pool.close()
    pool.threads[0].join(60)

    # A job may have failed before its own code was reached.
    assert len(ran) == len(set(ran)), at
    assert len(ended) == len(set(ended)), at
    if lives:
        assert ended == [1, 2, 3], at
        assert pool.uncollected == 0, at
        assert not pool.busy, at
    else:
        assert {IDS[name] for name in ran} | set(ended) <= reported, at
    return strikes.pop().struck, lives


def test_a_late_exception_for_a_thread_that_waits_is_reported_once_and_harms_no_job(
    entry: ScoreboardEntry, failed: list[dict[str, Any]]
) -> None:
    pool = Pool(1, entry, lambda: None)
    post(pool, claimed(1, SUCCEED, "a"))
    collect(pool, 1)
    wait_until(lambda: not entry.in_cells())
    _raise_in(pool.threads[0], TimeoutError)

    post(pool, claimed(2, SUCCEED, "b"), claimed(3, SUCCEED, "c"))

    assert collect(pool, 2) == ([2, 3], True)
    assert [(type(each["error"]), each["ours"]) for each in failed] == [(TimeoutError, True)]
    pool.close()


def test_a_thread_that_can_not_wake_the_control_thread_ends_and_the_process_hears_of_it(
    entry: ScoreboardEntry, failed: list[dict[str, Any]]
) -> None:
    def fail() -> None:
        raise OSError("closed")

    pool = Pool(1, entry, fail)

    post(pool, claimed(1, SUCCEED, "a"))

    wait_until(lambda: not pool.threads[0].is_alive())
    with pytest.raises(ThreadDiedError, match="job-0"):
        pool.check_threads()
    assert failed


def _raise_in(thread: threading.Thread, error: type[BaseException]) -> None:
    raise_in: Callable[..., int] = ctypes.pythonapi.PyThreadState_SetAsyncExc
    assert raise_in(ctypes.c_ulong(thread.ident or 0), ctypes.py_object(error)) == 1
