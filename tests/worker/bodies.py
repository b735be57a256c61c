"""Jobs for workers under test: they note what they are given, or wait at a gate."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from jobsd.jobs.definition import job
from jobsd.jobs.policy import constant

if TYPE_CHECKING:
    from jobsd.jobs.draft import EnqueuedJob

noted: list[object] = []
"""What the jobs of the test have noted, in their order."""
gate = threading.Event()
"""Closed when a test begins."""


@job
def note(value: object) -> None:
    """Note the value."""
    noted.append(value)


@job
def wait_for_gate(value: object = None) -> None:
    """Note the value and wait until the gate is open."""
    noted.append(value)
    assert gate.wait(60)


@job(max_attempts=5, backoff=constant(0))
def turn() -> None:
    """Turn in Python for ever, where an interrupt can strike."""
    noted.append("turns")
    while True:
        noted[0] = "turned"


def id_of(handle: EnqueuedJob) -> int:
    """Return the id of a job that was stored."""
    assert handle.id is not None
    return handle.id
