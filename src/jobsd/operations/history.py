"""The history of jobs: counts, failures, waits and run times, by time and by class.

Trees add up the history once a minute. Percentiles come from the buckets of the metrics: the
bucket is the right one, and the value within it is interpolated.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

from jobsd.clock import utc_now
from jobsd.database.connection import Session, Statements
from jobsd.scoreboard.counters import BUCKETS_S

Row = dict[str, Any]

STATEMENTS = Statements("jobsd.operations", "history.sql")


@dataclass(frozen=True, slots=True)
class Span:
    """A time span that can be shown: its length, the length of its steps, and their table."""

    name: str
    words: str
    span_s: int
    step_s: int
    table: str = "minutes"


SPANS = (
    Span("hour", "the last hour", 3_600, 60),
    Span("day", "the last 24 hours", 86_400, 900),
    Span("month", "the last 30 days", 30 * 86_400, 6 * 3_600, "hours"),
)

DAY_OF_CLASS = Span("day", "the last 24 hours", 86_400, 3_600, "hours")
"""The history of classes has hours only."""


@dataclass(frozen=True, slots=True)
class Done:
    """The attempts of a span or step; times are in seconds, or None if no job ran."""

    finished: int = 0
    failed: int = 0
    retried: int = 0
    discarded: int = 0
    wait_p50_s: float | None = None
    wait_p95_s: float | None = None
    run_p50_s: float | None = None
    run_p95_s: float | None = None
    run_mean_s: float | None = None

    @property
    def attempts(self) -> int:
        """The number of attempts that have ended."""
        return self.finished + self.failed + self.retried + self.discarded

    @property
    def failing(self) -> float:
        """The share of the attempts that have failed, from 0 to 1."""
        return (self.failed + self.retried) / self.attempts if self.attempts else 0.0


def span_named(name: str) -> Span:
    """Return the span of this name, or the last hour if there is none."""
    return next((span for span in SPANS if span.name == name), SPANS[0])


def finished_by_queue(session: Session, span: Span) -> dict[str, int]:
    """Return the number of finished jobs of each queue in a span of minutes."""
    return dict(session.fetch(STATEMENTS["queues"], {"span_s": span.span_s}))


def steps(session: Session, span: Span, name: str | None = None) -> list[tuple[datetime, Done]]:
    """Return each step of a span with its attempts, of one queue, one class, or all."""
    parameters = {"step_s": span.step_s, "span_s": span.span_s, "name": name}
    found = {
        row[0]: _done(*row[1:]) for row in session.fetch(STATEMENTS[span.table], parameters)
    }
    last = int(utc_now().timestamp()) // span.step_s * span.step_s
    # The server's clock may be ahead of ours.
    last = max([last, *(int(at.timestamp()) for at in found)])
    first = datetime.fromtimestamp(last - span.span_s + span.step_s, UTC)
    every = [first + timedelta(seconds=n) for n in range(0, span.span_s, span.step_s)]
    return [(at, found.get(at, Done())) for at in every]


def classes(session: Session, span: Span) -> list[tuple[str, Done]]:
    """Return the attempts of each class in the hours of a span, the most failures first."""
    rows = session.fetch(STATEMENTS["classes"], {"span_s": span.span_s})
    return [(row[0], _done(*row[1:])) for row in rows]


def document(
    span: Span, found: Sequence[tuple[datetime, Done]], by_class: Sequence[tuple[str, Done]]
) -> Row:
    """Return the history for programs."""
    return {
        "span": span.name,
        "step_s": span.step_s,
        "steps": [{"at": at, **asdict(done)} for at, done in found],
        "classes": [{"class_name": name, **asdict(done)} for name, done in by_class],
    }


def percentile(counts: Sequence[int], share: float) -> float | None:
    """Return the time within which this share of the jobs stayed; None without jobs."""
    wanted, below = share * sum(counts), 0
    bounds = pairwise((0.0, *BUCKETS_S))
    for count, (least, most) in zip(counts, bounds, strict=False):
        if count and below + count >= wanted:
            return least + (most - least) * (wanted - below) / count
        below += count
    return BUCKETS_S[-1] if sum(counts) else None


def _done(  # noqa: PLR0913, PLR0917 - the columns of the statements
    finished: int,
    failed: int,
    retried: int,
    discarded: int,
    wait_s: float,
    run_s: float,
    waits: list[int],
    runs: list[int],
) -> Done:
    del wait_s
    # Rows of a version with fewer buckets have no counts in the others.
    waits, runs = [count or 0 for count in waits], [count or 0 for count in runs]
    ran = sum(runs)
    return Done(
        *(finished, failed, retried, discarded),
        *(percentile(waits, 0.5), percentile(waits, 0.95)),
        *(percentile(runs, 0.5), percentile(runs, 0.95)),
        run_s / ran if ran else None,
    )
