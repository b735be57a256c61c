"""Figures as plain values: the monitor and commands fill them, `metrics` writes them out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class Durations:
    """Seconds, counted by buckets: the last one is for all longer durations."""

    counts: Sequence[int]
    sum_s: float


@dataclass(frozen=True, slots=True)
class TableSize:
    """The size of a table with its indexes, and its rows as the server has counted them."""

    bytes: int
    live_rows: int
    dead_rows: int


@dataclass(frozen=True, slots=True)
class TaskRuns:
    """The runs of a recurring task; times are seconds since the epoch."""

    enqueued: int
    missed: int = 0
    last_at: float | None = None
    failed: int = 0
    """How many of the last five runs have failed."""
    next_at: float | None = None
    disabled: bool = False


class Arrived(NamedTuple):
    """A stored row of `arrivals`: the counts of one queue."""

    ended: int
    gone: int
    enqueued: int


@dataclass(frozen=True, slots=True)
class TreeFigures:
    """The figures of one tree, without the database; its counters never go back."""

    bounds_s: Sequence[float]
    """The upper bounds of the buckets, without the last one, which has none."""
    outcomes: Mapping[str, Mapping[str, int]]
    """Jobs by queue and outcome."""
    timeouts: Mapping[str, Mapping[str, int]]
    """Jobs that were interrupted, by queue and kind."""
    cancelled: Mapping[str, int]
    """Jobs that were cancelled after their claim, by queue."""
    runs: Mapping[str, Durations]
    """The run times of jobs, by queue."""
    waits: Mapping[str, Durations]
    """The waits of jobs from the time at which they were due, by queue."""
    restarts: Mapping[tuple[str, str], int]
    """Replaced processes by kind and reason."""
    busy_threads: int
    busy_coroutines: int
    idle_coroutines: int
    idle_threads: int
    loop_age_s: float
    """The time since the supervisor's last iteration."""
    dropped_lines: int
    database_up: bool
    reloads: Mapping[str, int] = field(default_factory=dict[str, int])
    """Reloads by outcome."""
    expired: Mapping[str, int] = field(default_factory=dict[str, int])
    """Jobs that expired before their start, by queue."""
    reload_succeeded: bool = True
    """Whether the last reload succeeded; true before the first one."""
    resident_bytes: Mapping[tuple[str, str], int] = field(
        default_factory=dict[tuple[str, str], int]
    )
    """Memory by kind and number of the child: its successor has the same."""
    class_outcomes: Mapping[str, Mapping[str, int]] = field(
        default_factory=dict[str, dict[str, int]]
    )
    """Jobs by class and outcome."""
    class_runs: Mapping[str, Durations] = field(default_factory=dict[str, Durations])
    """The run times of jobs, by class."""
    failures: Mapping[str, Mapping[str, int]] = field(default_factory=dict[str, dict[str, int]])
    """Attempts that an error has ended, by its type and the outcome of the job."""
    web_requests: Mapping[tuple[str, str], int] = field(
        default_factory=dict[tuple[str, str], int]
    )
    """Requests to the dashboard, by page and status."""
    prunes: int = 0
    """Processes of other trees that were declared dead."""
    claims_lost: int = 0
    outages: int = 0
    outage_s: float = 0.0
    """The duration of all past outages."""
    outage_age_s: float = 0.0
    """The duration of the present outage."""


@dataclass(frozen=True, slots=True)
class DatabaseFigures:
    """The figures of the database, of all trees on it."""

    depths: Mapping[str, Mapping[str, int]]
    """Jobs by queue and state."""
    latencies_s: Mapping[str, float]
    """The wait of the oldest ready job of each queue."""
    claim_ages_s: Mapping[str, float]
    """The age of the oldest claim of each queue."""
    processes: Mapping[str, int]
    """Processes by kind."""
    heartbeat_ages_s: Mapping[tuple[str, str], float]
    """By kind and series of the process: its successor has the same."""
    tasks: Mapping[str, TaskRuns]
    """The runs of recurring tasks, by key."""
    last_heartbeat: float | None = None
    """The last run of the heartbeat job (seconds since the epoch)."""
    postgresql: str = ""
    """The server's version."""
    unknown_jobs: Mapping[str, int] = field(default_factory=dict[str, int])
    """Ready jobs by queue whose class is unknown to all workers of the queue."""
    unknown_for_s: Mapping[str, float] = field(default_factory=dict[str, float])
    """The time since when a queue has had jobs of unknown classes."""
    paused: frozenset[str] = frozenset()
    """The queues that are paused."""
    dispatch_lag_s: float = 0.0
    """The time for which the oldest scheduled job has been due."""
    tables: Mapping[str, TableSize] = field(default_factory=dict[str, TableSize])
    """Our tables by name."""
    oldest_transaction_s: float = 0.0
    """The age of the oldest transaction that our role sees."""
    arrivals: Mapping[str, Arrived] = field(default_factory=dict[str, Arrived])
    """The stored counts of arrivals of each queue."""
    run_times_s: Mapping[str, float] = field(default_factory=dict[str, float])
    """The recent run time of jobs of a queue."""
    enqueued: Mapping[str, int] = field(default_factory=dict[str, int])
    """The number of jobs that have entered each queue: never decreases."""
    desired_workers: Mapping[str, int] | None = None
    """The number of workers that a queue needs; None without a target."""
    busy_threads: Mapping[str, int] | None = None
    """Threads by the queue of their job; None if no tree was asked."""
    findings: Mapping[tuple[str, str], bool] = field(
        default_factory=dict[tuple[str, str], bool]
    )
    """Whether each finding of the health is there, by its name and severity."""
