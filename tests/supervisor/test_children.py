"""What is said of one process of the tree, and what it is put down to."""

from __future__ import annotations

import os
import signal
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from jobsd.processes.board import Board
from jobsd.supervisor.children import Child, ChildSpec
from jobsd.supervisor.dump import Dump

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def child() -> Iterator[Child]:
    """A worker that has just been started; signals to it come to us."""
    slot = Board().slots[0]
    slot.take("worker", "worker-1")
    with closing(Dump()) as dump:
        yield Child(ChildSpec("worker", 1, lambda _: 0), slot, os.getpid(), 1, dump)


def test_who_is_up_is_at_work_once_it_has_done_a_round_or_has_no_database(child: Child) -> None:
    slot = child.slot
    assert (child.up, child.at_work) == (False, False)

    slot.tick()
    assert (child.up, child.at_work) == (True, False)
    slot.suffers = 1
    assert child.at_work
    slot.suffers = 0
    slot.works = 1
    assert child.at_work


def test_who_is_killed_because_it_hangs_stays_so_whatever_it_is_told_then(child: Child) -> None:
    child.dismiss("hung", 1.0, signal.SIGCONT)

    child.dismiss("stop", 9.0, signal.SIGCONT)

    assert (child.asked, child.kill_at) == ("hung", 1.0)
