"""Jobs for workers under test: they note what they are given, or wait at a gate."""

from __future__ import annotations

import threading

from jobsd.jobs.definition import job

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
