"""A scheduler may be killed before, in and after each of its statements: no run is lost."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import psycopg
import pytest

from waiting import wait_until

from .conftest import RUNS
from .test_processes import ALONE, GAPS, TWICE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobsd.database.connection import Target
    from rows import Rows

LAST = 7
"""Registering, storing, checking, loading, and then the first runs."""

ENDS = ("DIES_AT", "DIES_AFTER")

ONCE = ([0], [("tick", None)])


class Schedulers:
    """Schedulers of one task that runs every second, each with its own end."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.started: list[subprocess.Popen[bytes]] = []

    def start(self, **end: str) -> subprocess.Popen[bytes]:
        self.started.append(
            subprocess.Popen([*ALONE, self._url, "tick:all"], env={**os.environ, **end})
        )
        return self.started[-1]


@pytest.fixture
def schedulers(target: Target) -> Iterator[Schedulers]:
    made = Schedulers(target.url)
    yield made
    for process in made.started:
        process.kill()
        process.wait()


def _end(process: subprocess.Popen[bytes]) -> int | None:
    """Wait until a scheduler has ended; return how."""
    wait_until(lambda: process.poll() is not None)
    return process.returncode


def _go_on(rows: Rows, runs: int = 2) -> None:
    wanted = rows(RUNS)[0] + runs
    wait_until(lambda: rows(RUNS)[0] >= wanted)


def test_every_instant_runs_once_wherever_other_schedulers_are_killed(
    schedulers: Schedulers, rows: Rows
) -> None:
    schedulers.start()

    numbers = range(1, LAST + 1)
    doomed = [schedulers.start(**{end: str(number)}) for end in ENDS for number in numbers]

    assert [_end(process) for process in doomed] == [-9] * 2 * LAST
    _go_on(rows)
    assert (rows(TWICE), rows(GAPS)) == ONCE


def test_a_successor_goes_on_wherever_its_predecessor_was_killed(
    schedulers: Schedulers, rows: Rows
) -> None:
    for end in ENDS:
        for number in (5, 6):
            assert _end(schedulers.start(**{end: str(number)})) == -9
    schedulers.start()

    _go_on(rows)

    assert (rows(TWICE), rows(GAPS)) == ONCE


def test_a_statement_that_the_server_cancels_is_sent_again(
    schedulers: Schedulers, rows: Rows, target: Target
) -> None:
    waiting = (
        " FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        " AND application_name LIKE 'jobsd scheduler%%' AND datname = current_database()"
    )
    schedulers.start()
    _go_on(rows, 1)
    with psycopg.connect(target.url) as lock:
        lock.execute("LOCK TABLE jobsd.recurring_executions IN SHARE ROW EXCLUSIVE MODE")
        wait_until(lambda: rows("SELECT count(*)" + waiting) == [1])

        rows("SELECT pg_terminate_backend(pid)" + waiting)
        lock.rollback()

    _go_on(rows)
    assert (rows(TWICE), rows(GAPS)) == ONCE
