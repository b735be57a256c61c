"""Bounds give way to what we were kept waiting, not others; waits end all the same."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

import waiting
from kept import kept_folder
from waiting import Stopwatch, Took, wait_until

if TYPE_CHECKING:
    from collections.abc import Generator

SPINS = "while True: pass"
STARTS_ANOTHER = "import subprocess; subprocess.run(['sleep', '60'])"


def test_time_stalled_by_the_machine_counts_for_the_upper_bound_only() -> None:
    took = Took(3.0, stalled_s=2.2)

    assert (took < 1, 2.9 < took < 1, took < 0.7) == (True, True, False)


def test_a_machine_that_always_stalls_excuses_no_more_than_four_fifths() -> None:
    took = Took(5.0, stalled_s=60.0)

    assert (took < 1.1, took < 0.9) == (True, False)


def test_a_wait_fails_when_its_time_is_over() -> None:
    watch = Stopwatch()

    with pytest.raises(AssertionError, match=r"not within 0\.05 s"):
        wait_until(lambda: False, within_s=0.05)

    assert 0.05 < watch.took() < 5


def test_a_thread_of_ours_that_has_no_processor_is_kept_waiting() -> None:
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        with _started(SPINS):
            watch = Stopwatch()
            # We and the child have one processor: each waits for the other.
            wait_until(lambda: sum(range(10_000)) and watch.took() > 0.5)
            took = watch.took()
    finally:
        os.sched_setaffinity(0, allowed)

    assert took.least < 0.8 * took


def test_processes_below_the_test_run_are_ours_and_its_parent_is_not() -> None:
    with _started(STARTS_ANOTHER) as child:
        wait_until(lambda: len(waiting.ours()) >= 3)
        ours = waiting.ours()

    assert {os.getpid(), child.pid} < ours
    assert ours.isdisjoint({1, os.getppid()})


def test_a_process_in_a_folder_of_this_run_is_ours_under_any_parent() -> None:
    folder = kept_folder("jobsd-test-")
    command = ["setsid", "sh", "-c", "sleep 60 >/dev/null & echo $!"]
    started = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, check=True, text=True)
    server = int(started.stdout)

    try:
        assert server in waiting.ours()
    finally:
        os.kill(server, 9)
        shutil.rmtree(folder)


@contextmanager
def _started(program: str) -> Generator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", program], process_group=0) as child:
        try:
            yield child
        finally:
            os.killpg(child.pid, 9)
