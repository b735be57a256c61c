"""The times after which a process counts as dead, which each process has in its row.

A process that its own tree would not consider dead must not be considered dead by a peer tree
with shorter settings. So a monitor waits for the longest of three times: its own threshold,
that of the process, and the time that the process's supervisor takes to kill it when it hangs,
since until then it may run a job.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields

KILLED_WITHIN_S = 2.0
"""The longest time between a process's `hang_timeout` and its end: the supervisor's check, and
a second for the dump of its stacks."""
_AT_MOST_S = 7 * 86_400.0
"""The longest threshold that we accept: a row may hold any value."""


@dataclass(frozen=True, slots=True)
class Thresholds:
    """The settings of `supervisor:` by which a process is judged, in seconds."""

    heartbeat_interval: float
    process_alive_threshold: float
    hang_timeout: float

    def metadata(self) -> dict[str, float]:
        """Return the thresholds as metadata of a row."""
        return {name: round(seconds, 6) for name, seconds in asdict(self).items()}

    def __str__(self) -> str:
        return ", ".join(f"{name} {seconds:g} s" for name, seconds in self.metadata().items())


DEFAULTS = Thresholds(heartbeat_interval=10, process_alive_threshold=60, hang_timeout=40)
"""The thresholds of an older program, which stores none in its rows."""
NAMES = tuple(each.name for each in fields(DEFAULTS))


def thresholds_in(metadata: Mapping[str, object]) -> Thresholds | None:
    """Return the thresholds in a row's metadata, or None if it has none."""
    found = [_seconds(metadata.get(name)) for name in NAMES]
    return Thresholds(*found) if all(found) else None


def thresholds_of(metadata: Mapping[str, object]) -> Thresholds | None:
    """Return the thresholds of a row; the defaults for a row of an older program.

    None for a foreign row: the rows of our processes have the start time.
    """
    return thresholds_in(metadata) or (DEFAULTS if metadata.get("started") else None)


def dead_after_s(theirs: Thresholds | None, threshold_s: float, jitter_s: float = 0.0) -> float:
    """Return how long a heartbeat must stand until a tree with `threshold_s` considers it dead.

    `jitter_s`: the apparent movement of a heartbeat that stands.
    """
    if theirs is None:
        return threshold_s
    killed_s = theirs.hang_timeout + KILLED_WITHIN_S + jitter_s
    return max(threshold_s, theirs.process_alive_threshold, killed_s)


def _seconds(value: object) -> float:
    """Return a number of seconds, or 0.0: foreign metadata may hold any value."""
    try:
        seconds = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return 0.0
    return min(seconds, _AT_MOST_S) if math.isfinite(seconds) and seconds > 0 else 0.0
