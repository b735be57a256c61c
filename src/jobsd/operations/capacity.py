"""Estimates what a number of jobs a day needs: rates, cores, memory, WAL and disk.

The costs were measured by `benchmarks capacity` (see `docs/guide/capacity.md`): of jobs that do
nothing, stored in bulk and run by a tree with the shipped settings, on one machine. Another
processor is faster or slower, so the cores are good to a factor of two; bytes are the same
everywhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from math import ceil
from typing import NamedTuple

from jobsd.text import size

DAY_S = 86_400
TREE_MIB = 80
"""The memory of a tree at rest: supervisor, monitor, dispatcher and one worker."""
PROCESS_MIB = 12
"""The memory of each further process at rest, without what the jobs import."""
RATE_MAX = 30_000
"""The jobs a second that one server on two cores has stored and run for long."""
KEPT_MAX = 10_000_000
"""The finished jobs beside which drains were measured."""
CHECKPOINT_S, WAL_MAX, CONNECTIONS_MAX = 300, 1 << 30, 100
"""The server's defaults of checkpoint_timeout, max_wal_size and max_connections."""
SPARE = 1.3
"""Tables and indexes that lose and gain rows take about a third more than their rows."""


class Cost(NamedTuple):
    """What one job costs: microseconds of a core, and bytes."""

    enqueue_us: float
    run_us: float
    server_us: float
    wal_bytes: float
    disk_bytes: float


COSTS = {
    "plain": Cost(5, 11, 37, 750, 268),
    "1kB": Cost(13, 12, 48, 2805, 2766),
    "tags": Cost(21, 12, 61, 1020, 416),
    "limit": Cost(7, 21, 84, 1410, 334),
    "unique": Cost(17, 11, 57, 1370, 814),
    "result": Cost(5, 23, 86, 1085, 438),
    "scheduled": Cost(12, 11, 37, 1160, 295),
    "retried": Cost(6, 156, 132, 1884, 717),
}
"""The cost of a job with one feature, plain without any.

1kB of arguments, two tags, a limit with a key for each job, unique, a result that is kept,
scheduled, and failed once and retried.
"""
FEATURES = tuple(name for name in COSTS if name != "plain")


@dataclass(frozen=True, slots=True)
class Load:
    """The jobs of a day: `peak` is the rate of the busiest minute beside the day's mean."""

    jobs_per_day: int
    keep_s: float
    takes_s: float
    peak: float
    features: tuple[str, ...] = ()

    @property
    def mean_rate(self) -> float:
        """Jobs a second, over the day."""
        return self.jobs_per_day / DAY_S

    @property
    def peak_rate(self) -> float:
        """Jobs a second in the busiest minute."""
        return self.mean_rate * self.peak


@dataclass(frozen=True, slots=True)
class Means:
    """What the configuration of one tree provides."""

    at_once: int
    processes: int
    connections: int
    clears: bool
    """Whether a task clears finished jobs."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a load needs; rates are per second, sizes in bytes, memory in MiB."""

    mean_rate: float
    peak_rate: float
    at_once_needed: int
    at_once: int
    worker_cores: float
    enqueue_cores: float
    server_cores: float
    memory_mib: int
    connections: int
    wal_bytes_per_day: int
    wal_bytes_per_s: int
    kept_jobs: int
    disk_bytes: int
    warnings: tuple[str, ...]


def cost_of(features: Iterable[str]) -> Cost:
    """Return the cost of a job with these features: that of a plain one, and what each adds."""
    plain = COSTS["plain"]
    added = [COSTS[name] for name in dict.fromkeys(features)]
    return Cost(
        *(
            of_plain + sum(max(0.0, each[place] - of_plain) for each in added)
            for place, of_plain in enumerate(plain)
        )
    )


def plan(load: Load, means: Means) -> Plan:
    """Return what a load needs, and what of it the configuration does not provide."""
    cost, rate = cost_of(load.features), load.peak_rate
    kept = round(load.mean_rate * load.keep_s)
    found = Plan(
        mean_rate=load.mean_rate,
        peak_rate=rate,
        at_once_needed=max(1, ceil(rate * load.takes_s)),
        at_once=means.at_once,
        worker_cores=rate * cost.run_us / 1e6,
        enqueue_cores=rate * cost.enqueue_us / 1e6,
        server_cores=rate * cost.server_us / 1e6,
        memory_mib=TREE_MIB + PROCESS_MIB * max(0, means.processes - 4),
        connections=means.connections,
        wal_bytes_per_day=round(load.jobs_per_day * cost.wal_bytes),
        wal_bytes_per_s=round(rate * cost.wal_bytes),
        kept_jobs=kept,
        disk_bytes=round(kept * cost.disk_bytes * SPARE),
        warnings=(),
    )
    return replace(found, warnings=tuple(_warnings(found, means)))


def _warnings(found: Plan, means: Means) -> Iterator[str]:
    if found.at_once_needed > means.at_once:
        yield (
            f"{found.at_once_needed:,} jobs run at once at the peak, and the configuration has"
            f" {means.at_once:,}: jobs wait then"
        )
    if found.peak_rate > RATE_MAX:
        yield (
            f"the peak is above the {RATE_MAX:,} jobs a second of a server with two cores:"
            " measure yours with `doctor --bench`"
        )
    if found.kept_jobs > KEPT_MAX:
        yield (
            f"{found.kept_jobs:,} finished jobs are kept; drains were measured beside"
            f" {KEPT_MAX:,}: keep them for a shorter time, or watch the disk"
        )
    if found.kept_jobs and not means.clears:
        yield "no task of the file clears finished jobs: they stay for ever"
    per_checkpoint = found.wal_bytes_per_s * CHECKPOINT_S
    if per_checkpoint > WAL_MAX:
        yield (
            f"at the peak {size(per_checkpoint)} of WAL come between two checkpoints: set the"
            f" server's max_wal_size to at least {size(2 * per_checkpoint)}"
        )
    if found.connections > CONNECTIONS_MAX:
        yield (
            f"{found.connections} connections are more than a server allows by default"
            f" ({CONNECTIONS_MAX}): raise max_connections, or use a pooler"
        )
