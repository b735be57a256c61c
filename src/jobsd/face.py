"""What `from jobsd import …` gives, and how a program finds its database at first use.

Not imported by `import jobsd` itself: a command that only prints its help must not pay
for a database driver.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from jobsd.errors import ArgumentError, EnqueueError, Error, UnknownJobError
from jobsd.jobs.arguments import argument_type
from jobsd.jobs.client import configure, enqueue_many, find_target_by
from jobsd.jobs.current import CurrentJob, current_job, stopping
from jobsd.jobs.definition import FunctionJob, Job, job
from jobsd.jobs.enqueue import EnqueuedJob, EnqueuedJobs
from jobsd.jobs.policy import Discard, Retry, Snooze, constant, exponential

if TYPE_CHECKING:
    from jobsd.database.connection import Target

__all__ = [
    "ArgumentError",
    "CurrentJob",
    "Discard",
    "EnqueueError",
    "EnqueuedJob",
    "EnqueuedJobs",
    "Error",
    "FunctionJob",
    "Job",
    "Retry",
    "Snooze",
    "UnknownJobError",
    "argument_type",
    "configure",
    "constant",
    "current_job",
    "enqueue_many",
    "exponential",
    "job",
    "stopping",
]


def _find_target() -> Target:
    # At first use only: reading a configuration is the work of commands.
    from jobsd.configuration.target import find_target  # noqa: PLC0415

    return find_target(Path.cwd(), os.environ)


find_target_by(_find_target)
