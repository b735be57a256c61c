"""Workers of a benchmark are forked as by the supervisor, and cost what they do there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_FROZEN = """
import gc, os
from benchmarks.children import ChildError
from benchmarks.workers import Workers
from jobsd.configuration.options import WorkerOptions
from jobsd.database.connection import Target

def make(*_):
    os.write(1, b"%d" % gc.get_freeze_count())
    raise SystemExit

try:
    Workers(Target("postgresql://nowhere"), 1, WorkerOptions(), make)
except ChildError:
    pass
"""


def test_objects_loaded_before_the_fork_are_not_collected_in_workers() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _FROZEN], cwd=ROOT, check=True, capture_output=True, text=True
    )

    assert int(done.stdout) > 10_000
