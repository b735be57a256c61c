"""When a worker looks for jobs: at once while there are more, else when it is told of some.

A claim that brought all it asked for says that there are more. One that came back short
says that there are none, and who enqueues one tells us, since our wish to be woken stands
in the database. Only while that wish is new may somebody have looked for it before, and
commit after: so we look by ourselves 1 ms later, 2 ms, … 5 s. Later on every 5 s, whoever
forgets to tell us. Without notifications the polling interval rules.
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
        self.next_look = 0.0

    def wish_is_new(self) -> None:
        """Who looked for our wish to be woken a moment ago has not seen it."""
        self._interval_s = LOOK_MIN_S

    def after_full(self) -> None:
        """A claim has brought all it asked for."""
        self.look_now()
        self._full_since = self._full_since or monotonic()

    def after_short(self, *, listening: bool, again_at: float | None) -> None:
        """A claim came back short; `again_at` is when to look elsewhere, if there is where."""
        now = monotonic()
        self._full_since = None
        rest_s = self._interval_s if listening else self._polling_interval_s
        self.next_look = now + rest_s if again_at is None else min(again_at, now + LOOK_MAX_S)
        if again_at is None:
            self._interval_s = min(LOOK_MAX_S, self._interval_s * 2)

    @property
    def saturated(self) -> bool:
        """Whether claims have come back full for a while."""
        return self._full_since is not None and monotonic() - self._full_since > AWAKE_S
