"""Computes at a scrape how many jobs were enqueued into each queue.

A job that was enqueued is still in the queue, or has ended. The database has the number of jobs
in the queue; trees write the numbers of ended jobs into it, and our own tree knows its
unwritten ones. Jobs that other trees have ended in the last minute are missing until they are
written, so the figure may be late, but not too high; it is stored, and only ever grows.

Jobs that were removed by hand (discarded while they waited, deleted) were counted by no tree,
and the unwritten counts of a killed monitor are lost. A lack that lasts is compensated, so that
later arrivals are counted: `gone`.
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
"""How long the known jobs may be fewer than the stored: other trees write once a minute."""
RATE_S = 300.0
"""The period over which the rate of arrivals is computed."""


class Arrivals:
    """The arrivals of all queues, as computed by one monitor."""

    def __init__(self) -> None:
        self._lacking: dict[str, float] = {}
        self._seen: deque[tuple[float, Mapping[str, int]]] = deque()

    def update(
        self, session: Session, figures: DatabaseFigures, ended_here: Mapping[str, int] | None
    ) -> dict[str, int]:
        """Return the number of jobs enqueued into each queue, and store new arrivals.

        `ended_here` are the unwritten ended jobs of our tree, as known before the figures were
        read; None: they were just being written, so no arrival is stored.
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
        """Return the arrivals per second, in the last minutes."""
        if not self._seen:
            return 0.0
        (since, first), (now, last) = self._seen[0], self._seen[-1]
        if queue not in first or now <= since:
            return 0.0
        return (last.get(queue, 0) - first[queue]) / (now - since)

    def _row(
        self, queue: str, known: Mapping[str, int], stored: Mapping[str, Arrived]
    ) -> dict[str, object] | None:
        """Return the row to store for a queue, if it has changed."""
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
    """Return the number of jobs of each queue, waiting or ended.

    Once a tree counts several queues together, the queues without a count of their own are
    counted together here, too.
    """
    known = Counter({queue: row.ended for queue, row in stored.items() if row.ended})
    known.update(ended_here)
    together = OTHERS in known
    for queue, states in figures.depths.items():
        known[OTHERS if together and queue not in known else queue] += sum(states.values())
    return known
