"""How many workers a queue needs for its jobs to begin within `monitor.latency_target`.

    threads = arrivals a second * run time / BUSY + ready jobs * run time / target
    workers = threads / threads of a worker, rounded up

The first part keeps up with what comes, with some room: threads that were busy all the time
would let jobs wait ever longer. The second one works off what waits, within the target. The
run time is the mean of the last 15 minutes, of all trees; when no job has ended in these, the
age of the oldest claim. While jobs wait or run there is one worker at least. A paused queue
needs none for what waits.
"""

import math
from collections.abc import Mapping

from jobsd.configuration.options import WorkerOptions
from jobsd.instruments.figures import DatabaseFigures

from .arrivals import Arrivals

BUSY = 0.8
"""The share of the time that threads are to be busy."""
THREADS = 3
"""The threads of a worker, where none of the configuration takes from the queue."""


def desired_workers(
    figures: DatabaseFigures,
    arrivals: Arrivals,
    groups: tuple[WorkerOptions, ...],
    target_s: float,
) -> dict[str, int]:
    """Return how many workers each queue needs."""
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
            return group.threads
    return THREADS


def _takes(pattern: str, queue: str) -> bool:
    if pattern.endswith("*"):
        return queue.startswith(pattern[:-1])
    return queue == pattern
