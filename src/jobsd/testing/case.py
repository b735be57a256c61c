"""The test kit for `unittest`, and for Django's test cases."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from . import assertions
from .modes import clock, inline, recorded

if TYPE_CHECKING:
    import unittest

    from .memory_queue import MemoryQueue
    from .virtual_clock import VirtualClock

    _Base = unittest.TestCase
else:
    _Base = object


class JobsMixin(_Base):
    """Stands before a `TestCase` and records the jobs that each of its tests enqueues.

    `jobs_mode` is "record", "inline" (each job is performed at its enqueue) or "clock".
    """

    jobs_mode: ClassVar[Literal["record", "inline", "clock"]] = "record"
    jobs: MemoryQueue
    """The jobs of the test."""
    jobs_clock: VirtualClock
    """The clock, in the mode "clock"."""

    assert_enqueued = staticmethod(assertions.assert_enqueued)
    refute_enqueued = staticmethod(assertions.refute_enqueued)
    perform_enqueued = staticmethod(assertions.perform_enqueued)

    def setUp(self) -> None:
        """Begin with an empty queue."""
        super().setUp()
        if self.jobs_mode == "clock":
            self.jobs_clock = self.enterContext(clock())
            self.jobs = self.jobs_clock.jobs
        else:
            self.jobs = self.enterContext(
                recorded() if self.jobs_mode == "record" else inline()
            )
