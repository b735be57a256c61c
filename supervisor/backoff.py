"""How long a place stays empty after its process has died."""

from __future__ import annotations

import random

from jobsd.clock import monotonic

STABLE_S = 2.0
FIRST_S = 0.25
LONGEST_S = 30.0


class Backoff:
    """Nothing for a process that had worked, ever longer for one that can't start.

    A process that lived longer than two seconds after its first tick was all right: it
    is replaced at once, however often it dies. One that did not is tried again after
    0.25 s, then twice that and so on to 30 s, for ever: what it lacks may come back. The
    jitter keeps places apart that fail for one reason.
    """

    def __init__(self) -> None:
        self.failures = 0
        self.due = 0.0

    def note(self, up_s: float) -> float:
        """Take in a death, or a fork that failed (`up_s` 0); return the seconds to wait."""
        if up_s > STABLE_S:
            self.clear()
            return 0.0
        wait_s = min(LONGEST_S, FIRST_S * 2.0 ** min(self.failures, 10))
        wait_s *= random.uniform(0.8, 1.0)  # noqa: S311 - no secret
        self.failures += 1
        self.due = monotonic() + wait_s
        return wait_s

    def clear(self) -> None:
        """Forget the failures: there is reason to hope."""
        self.failures, self.due = 0, 0.0
