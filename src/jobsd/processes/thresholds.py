"""By which times a process is judged, as its row says: the trees of one database may differ.

A process that its own tree would not take for dead must not be taken for dead by another
one whose settings are shorter. So who looks waits for the longest of three times: its own
threshold, that of the process, and what the process's supervisor takes to kill it when its
loop stands still, since until then it may be running a job.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

KILLED_WITHIN_S = 2.0
"""What may pass between a process's `hang_timeout` and its end: the supervisor's look, and a
second for the dump of its stacks."""
_AT_MOST_S = 7 * 86_400.0
"""The longest threshold there can be: a row may say anything."""


@dataclass(frozen=True, slots=True)
class Thresholds:
    """The settings of `supervisor:` by which a process is judged, in seconds."""

    heartbeat_interval: float
    process_alive_threshold: float
    hang_timeout: float

    def metadata(self) -> dict[str, float]:
        """Return what a row says of them."""
        return {name: round(seconds, 6) for name, seconds in asdict(self).items()}

    def __str__(self) -> str:
        return ", ".join(f"{name} {seconds:g} s" for name, seconds in self.metadata().items())


UNSAID = Thresholds(heartbeat_interval=10, process_alive_threshold=60, hang_timeout=40)
"""Of a program that did not say any yet: the defaults."""
NAMES = tuple(asdict(UNSAID))


def thresholds_said(metadata: Mapping[str, object]) -> Thresholds | None:
    """Return what a row says, None for one that does not."""
    said = [_seconds(metadata.get(name)) for name in NAMES]
    return Thresholds(*said) if all(said) else None


def thresholds_of(metadata: Mapping[str, object]) -> Thresholds | None:
    """Return what a row says; the defaults for one that an older program has written.

    None for a row of somebody else: each process of ours says when it was started.
    """
    return thresholds_said(metadata) or (UNSAID if metadata.get("started") else None)


def dead_after_s(theirs: Thresholds | None, threshold_s: float, jitter_s: float = 0.0) -> float:
    """Return how long a heartbeat must stand before who has `threshold_s` takes it for dead.

    `jitter_s`: by how much a heartbeat that stands may seem to move.
    """
    if theirs is None:
        return threshold_s
    killed_s = theirs.hang_timeout + KILLED_WITHIN_S + jitter_s
    return max(threshold_s, theirs.process_alive_threshold, killed_s)


def _seconds(said: object) -> float:
    """Return a number of seconds, or 0.0: the metadata of others may say anything."""
    try:
        seconds = float(said)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return 0.0
    return min(seconds, _AT_MOST_S) if math.isfinite(seconds) and seconds > 0 else 0.0
