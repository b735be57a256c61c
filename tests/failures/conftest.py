"""A project whose jobs break things, on tables that are empty."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest

from harness.project import Project
from rows import Query, query_of
from system.conftest import JOBS
from system.jobs import LEDGER

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from jobsd.database.connection import Target

BREAKING = '''
import ctypes, subprocess, threading

@job
def segfault():
    ledger("start", "segfault")
    ctypes.string_at(0)

@job
def stop_the_loop():
    """Let the loop of this worker stand still in Python, while its threads go on."""
    from jobsd.worker.worker import Worker
    Worker.poll = lambda self: stand_still_in_python()

def stand_still_in_python():
    time.sleep(1000)

@job
def eat():
    """Take more memory than there is."""
    ledger("start", "eat")
    eaten = [bytearray(8 << 20) for _ in range(1000)]

@job
def orphan(seconds=300):
    """Leave a process behind that has lost its parent."""
    said = subprocess.run(
        ["sh", "-c", f"sleep {seconds} >/dev/null 2>&1 & echo $!"], stdout=subprocess.PIPE
    )
    ledger("orphan", int(said.stdout))

@job
def stubborn():
    """Leave a program behind that ignores TERM, and has started another."""
    script = "trap '' TERM; sleep 300 & echo $$ $!; wait"
    left = subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE, text=True)
    ledger("left", *left.stdout.readline().split())

@job
def fork_without_end():
    """Start processes until there is no more to be had."""
    count = 0
    while True:
        try:
            subprocess.Popen(["sleep", "300"], stdout=subprocess.DEVNULL)
        except OSError as error:
            ledger("refused", count, error.errno)
            break
        count += 1
    time.sleep(1000)

@job
def say(text, times=1):
    for _ in range(times):
        print(text)
'''


@pytest.fixture
def project(tmp_path: Path, target: Target) -> Project:
    """A project with jobs that break things, one worker of three threads."""
    made = Project(tmp_path, target.url, LEDGER=str(tmp_path / "ledger"))
    made.write("trial_jobs.py", LEDGER + JOBS + BREAKING)
    made.write("config/queue.yml", "import: [trial_jobs]\n")
    return made


@pytest.fixture
def query(target: Target) -> Iterator[Query]:
    """Ask the project's database."""
    with psycopg.connect(target.url, autocommit=True) as connection:
        yield query_of(connection)
