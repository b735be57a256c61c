"""When a worker looks for jobs: at once while there are more, else at growing intervals.

A claim that brought all it asked for says that there are more. After one that came back
short we look again after 1 ms, 2 ms, … 5 s, unless a notification comes before: this
finds the job whose commit crossed with our going to sleep. Without notifications the
polling interval rules.
"""

from __future__ import annotations

from jobsd.clock import monotonic

LOOK_MIN_S = 0.001
LOOK_MAX_S = 5.0
AWAKE_S = 0.25
"""After claims have come back full for this long, notifications are of no use to us."""


class Rhythm:
    """The times of one worker's looks."""

    def __init__(self, polling_interval_s: float) -> None:
        self.next_look = 0.0
        self._polling_interval_s = polling_interval_s
        self._interval_s = LOOK_MIN_S
        self._full_since: float | None = None

    def look_now(self) -> None:
        """There is reason to think that jobs are ready."""
        self.next_look, self._interval_s = 0.0, LOOK_MIN_S

    def after_full(self) -> None:
        """A claim has brought all it asked for."""
        self.look_now()
        self._full_since = self._full_since or monotonic()

    def after_short(self, *, claimed: bool, listening: bool, again_at: float | None) -> None:
        """A claim came back short; `again_at` is when to look elsewhere, if there is where."""
        now = monotonic()
        self._full_since = None
        if claimed:
            self._interval_s = LOOK_MIN_S
        rest_s = self._interval_s if listening else self._polling_interval_s
        self.next_look = now + rest_s if again_at is None else min(again_at, now + LOOK_MAX_S)
        if again_at is None:
            self._interval_s = min(LOOK_MAX_S, self._interval_s * 2)

    @property
    def saturated(self) -> bool:
        """Whether claims have come back full for a while."""
        return self._full_since is not None and monotonic() - self._full_since > AWAKE_S
