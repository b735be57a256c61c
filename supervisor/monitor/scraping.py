"""The answer of /metrics: the figures of the tree, and those of the database.

The server takes a while to count the jobs of a full queue. A thread in the background sends the
query; as soon as the server has it, the thread that answers the scrape sums up the tree's
counts and renders them. So both cores work at the same time: 3,000 queues with a million ready
jobs take as long as the longer half, and not as both; the server shares its half among its
parallel workers. The background thread sends its query first, because otherwise it gets the
interpreter only once in 5 ms, twenty times, before the server has the query.
"""

import math
from collections.abc import Mapping
from dataclasses import replace

import psycopg

from jobsd.configuration.options import WorkerOptions
from jobsd.database.connection import OUTAGES, Session, Target
from jobsd.metrics.figures import DatabaseFigures
from jobsd.operations import health
from jobsd.operations.gauges import database_figures
from jobsd.scoreboard.scoreboard import Scoreboard
from jobsd.scoreboard.thresholds import DEFAULTS

from . import arrivals, freshness
from .arrivals import Arrivals
from .history import History
from .tree_figures import busy_jobs, tree_figures

BUSY = 0.8
"""The intended share of busy threads."""
THREADS = 3
"""The threads of a worker, if none of the configuration takes from the queue."""


def desired_workers(
    figures: DatabaseFigures,
    arrivals: Arrivals,
    groups: tuple[WorkerOptions, ...],
    targets_s: Mapping[str, float],
) -> dict[str, int]:
    """Return how many workers each queue with a target needs for its jobs to begin in time.

    The targets are those of `monitor.latency_target`.

        threads = arrivals a second * run time / BUSY + ready jobs * run time / target
        workers = threads / threads of a worker, rounded up

    The first part keeps up with the arrivals, with some room: threads that were busy all the
    time would let jobs wait ever longer. The second one works off the waiting jobs, within the
    target. The run time is the mean of the last 15 minutes, of all trees; when no job has ended
    in these, the age of the oldest claim. While jobs wait or run there is one worker at least.
    A paused queue needs none for its waiting jobs.
    """
    return {
        queue: _workers(
            states,
            0.0 if queue in figures.paused else arrivals.rate(queue),
            figures.run_times_s.get(queue, figures.claim_ages_s.get(queue, 0.0)),
            target_s,
            threads_for(queue, groups),
            paused=queue in figures.paused,
        )
        for queue, states in figures.depths.items()
        if (target_s := health.target_s(queue, targets_s)) is not None
    }


def _workers(  # noqa: PLR0913 - the parts of one formula
    states: Mapping[str, int],
    rate: float,
    run_time_s: float,
    target_s: float,
    threads_each: int,
    *,
    paused: bool,
) -> int:
    ready = 0 if paused else states.get("ready", 0)
    threads = rate * run_time_s / BUSY + ready * run_time_s / target_s
    needed = math.ceil(threads / threads_each - 1e-9)
    return max(needed, 1 if ready or states.get("claimed") else 0)


def threads_for(queue: str, groups: tuple[WorkerOptions, ...]) -> int:
    """Return the threads of a worker of the first group that takes from a queue."""
    for group in groups:
        if any(_takes(pattern, queue) for pattern in group.queues):
            return group.at_once
    return THREADS


def _takes(pattern: str, queue: str) -> bool:
    if pattern.endswith("*"):
        return queue.startswith(pattern[:-1])
    return queue == pattern


DEADLINE_S = 2.0
SCRAPE_WAIT_S = 2.5
ASK_WAIT_S = 0.1
"""How long the sums of the tree are delayed for the query to reach the server."""
FIGURES_AGE_S = 5.0


class Scraping:
    """Answers the scrapes of one tree; safe from any thread.

    With `targets_s` (`monitor.latency_target`) it adds how many workers queues need. A process
    is dead after `threshold_s` without a heartbeat. The connection is kept: scrapes matter most
    when the server has none left.
    """

    def __init__(  # noqa: PLR0913 - the sources of both halves
        self,
        target: Target,
        scoreboard: Scoreboard,
        history: History,
        workers: tuple[WorkerOptions, ...] = (),
        *,
        targets_s: Mapping[str, float] | None = None,
        threshold_s: float = DEFAULTS.process_alive_threshold,
        share: float = freshness.SHARE,
    ) -> None:
        self._scoreboard = scoreboard
        self._history = history
        self._workers = workers
        self._targets_s = targets_s or {}
        self._threshold_s = threshold_s
        self._arrivals = arrivals.Arrivals()
        self._session = Session(target, "jobsd monitor metrics", deadline_s=DEADLINE_S)
        self._figures = freshness.Fresh(self._read_figures, share=share)

    def answer(self, *, openmetrics: bool = False) -> tuple[bytes, str]:
        """Return the exposition and its content type."""
        # The first scrape loads the library: a tree that is not scraped saves 4 MiB.
        from jobsd.metrics.metrics import exposition_with  # noqa: PLC0415

        self._figures.begin(FIGURES_AGE_S)
        self._figures.asked.wait(ASK_WAIT_S)
        return exposition_with(
            tree_figures(self._scoreboard), self._known_figures, openmetrics=openmetrics
        )

    def close(self) -> None:
        """Close the connection."""
        self._session.close()

    def _known_figures(self) -> DatabaseFigures | None:
        return self._figures.get(max_age_s=FIGURES_AGE_S, wait_s=SCRAPE_WAIT_S)

    def _read_figures(self) -> DatabaseFigures:
        was_kept = self._session.connected
        try:
            return self._read()
        except OUTAGES:
            if not was_kept:
                raise
        return self._read()

    def _read(self) -> DatabaseFigures:
        try:
            return self._read_once()
        except psycopg.Error:
            self._session.close()
            raise

    def _read_once(self) -> DatabaseFigures:
        history, targets_s = self._history, self._targets_s
        writes, ended = history.writes, history.ended()
        figures = database_figures(
            self._session,
            busy_jobs(self._scoreboard),
            targets_s=targets_s,
            threshold_s=self._threshold_s,
            asked=self._figures.asked.set,
        )
        known = ended if writes == history.writes and writes % 2 == 0 else None
        figures = replace(
            figures, enqueued=self._arrivals.update(self._session, figures, known)
        )
        if not targets_s:
            return figures
        desired = desired_workers(figures, self._arrivals, self._workers, targets_s)
        return replace(figures, desired_workers=desired)
