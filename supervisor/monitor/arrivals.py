"""Computes at a scrape how many jobs were enqueued into each queue.

What has come is there still, or has ended. The database says how many are there; how many have
ended, trees have written into it, and our own tree knows of those that it has not written. Jobs
that other trees have ended in the last minute are missing until these have written them, so the
figure may be late, but not too high; it is stored, and only ever grows.

Jobs that were taken away by hand (discarded while they waited, deleted) were counted by no
tree, and what a killed monitor had not written is lost. A lack that lasts is made up for, so
that later arrivals are seen: `gone`.
"""

import json
from collections import Counter, deque
from collections.abc import Mapping

from jobsd.clock import monotonic
from jobsd.database.connection import Session, Statements
from jobsd.metrics.figures import Arrived, DatabaseFigures
from jobsd.scoreboard.queue_names import OTHERS

STATEMENTS = Statements("jobsd.supervisor.monitor", "arrivals.sql")

QUEUES_MAX = 10_000
LACK_S = 180.0
"""For how long fewer jobs may be known than have come: other trees write once a minute."""
RATE_S = 300.0
"""Over how long the rate of arrivals is taken."""


class Arrivals:
    """The arrivals of all queues, as one monitor works them out."""

    def __init__(self) -> None:
        self._lacking: dict[str, float] = {}
        self._seen: deque[tuple[float, Mapping[str, int]]] = deque()

    def update(
        self, session: Session, figures: DatabaseFigures, ended_here: Mapping[str, int] | None
    ) -> dict[str, int]:
        """Return how many jobs have come into each queue, and store what is new.

        `ended_here` are those that our tree has ended and not written, as they were known
        before the figures were read; None: that was just being written, so nothing is new.
        """
        stored = figures.arrivals
        enqueued = {queue: row.enqueued for queue, row in stored.items()}
        if ended_here is not None:
            known = _known(figures, stored, ended_here)
            rows = [row for queue in sorted(known) if (row := self._row(queue, known, stored))]
            if len(stored) >= QUEUES_MAX:
                session.fetch(STATEMENTS["clear"])
            if rows:
                written = session.fetch(STATEMENTS["store"], {"rows": json.dumps(rows)})
                enqueued.update(written)
        self._note(enqueued)
        return enqueued

    def rate(self, queue: str) -> float:
        """Return how many jobs have come in a second, in the last minutes."""
        if not self._seen:
            return 0.0
        (since, first), (now, last) = self._seen[0], self._seen[-1]
        if queue not in first or now <= since:
            return 0.0
        return (last.get(queue, 0) - first[queue]) / (now - since)

    def _row(
        self, queue: str, known: Mapping[str, int], stored: Mapping[str, Arrived]
    ) -> dict[str, object] | None:
        """Return what is to be stored of a queue, if anything is new."""
        before = stored.get(queue, Arrived(0, 0, 0))
        lack = before.enqueued - known[queue] - before.gone
        row = {"name": queue, "gone": before.gone, "enqueued": before.enqueued}
        if lack <= 0:
            self._lacking.pop(queue, None)
            is_new = lack < 0 and (queue in stored or len(stored) < QUEUES_MAX)
            return {**row, "enqueued": before.enqueued - lack} if is_new else None
        if monotonic() - self._lacking.setdefault(queue, monotonic()) < LACK_S:
            return None
        del self._lacking[queue]
        return {**row, "gone": before.gone + lack}

    def _note(self, enqueued: Mapping[str, int]) -> None:
        now = monotonic()
        self._seen.append((now, enqueued))
        while len(self._seen) > 2 and self._seen[1][0] <= now - RATE_S:
            self._seen.popleft()


def _known(
    figures: DatabaseFigures, stored: Mapping[str, Arrived], ended_here: Mapping[str, int]
) -> Counter[str]:
    """Return how many jobs of each queue there are and have ended.

    Once a tree counts some queues together, those that have no count of their own are so here.
    """
    known = Counter({queue: row.ended for queue, row in stored.items() if row.ended})
    known.update(ended_here)
    together = OTHERS in known
    for queue, states in figures.depths.items():
        known[OTHERS if together and queue not in known else queue] += sum(states.values())
    return known
