"""What is said of one process of the tree, and what it is put down to."""

from __future__ import annotations

import os
import signal
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from jobsd.scoreboard.scoreboard import Scoreboard
from jobsd.supervisor.children import ChildProcess, ChildSpec
from jobsd.supervisor.stack_dump import StackDump

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def process() -> Iterator[ChildProcess]:
    """A worker that has just been started; signals to it come to us."""
    entry = Scoreboard().entries[0]
    entry.take("worker", "worker-1")
    with closing(StackDump()) as dump:
        yield ChildProcess(ChildSpec("worker", 1, lambda _: 0), entry, os.getpid(), 1, dump)


def test_a_process_is_at_work_after_a_poll_or_without_a_database(
    process: ChildProcess,
) -> None:
    entry = process.entry
    assert (process.up, process.at_work) == (False, False)

    entry.tick()
    assert (process.up, process.at_work) == (True, False)
    entry.database_down = 1
    assert process.at_work
    entry.database_down = 0
    entry.working = 1
    assert process.at_work


def test_a_process_that_is_killed_because_it_hung_stays_so_whatever_is_asked_of_it(
    process: ChildProcess,
) -> None:
    process.dismiss("hung", 1.0, signal.SIGCONT)

    process.dismiss("stop", 9.0, signal.SIGCONT)

    assert (process.asked, process.kill_at) == ("hung", 1.0)
