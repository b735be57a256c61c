"""Figures as plain values: the monitor and commands fill them, `metrics` writes them out."""

from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import NamedTuple

from jobsd import late


@late.dataclass(frozen=True, slots=True)
class Durations:
    """Seconds, counted by the buckets they fall into: the last one is for all longer ones."""

    counts: Sequence[int]
    sum_s: float


@late.dataclass(frozen=True, slots=True)
class TableSize:
    """How large a table is with its indexes, and its rows as the server has counted them."""

    bytes: int
    live_rows: int
    dead_rows: int


@late.dataclass(frozen=True, slots=True)
class TaskRuns:
    """The runs of a recurring task; times are seconds since the epoch."""

    enqueued: int
    missed: int = 0
    last_at: float | None = None
    failed: int = 0
    """Of how many of the last five the job has failed."""
    next_at: float | None = None


class Arrived(NamedTuple):
    """What is stored of how many jobs have come into a queue."""

    ended: int
    gone: int
    enqueued: int


@late.dataclass(frozen=True, slots=True)
class TreeFigures:
    """The figures of one tree, without the database; its counters never go back."""

    bounds_s: Sequence[float]
    """The upper bounds of the buckets, the last one, without a bound, left out."""
    outcomes: Mapping[str, Mapping[str, int]]
    """Jobs by queue and outcome."""
    timeouts: Mapping[str, Mapping[str, int]]
    """Jobs that were interrupted, by queue and kind."""
    cancelled: Mapping[str, int]
    """Jobs that were cancelled once they were claimed, by queue."""
    runs: Mapping[str, Durations]
    """How long jobs ran, by queue."""
    waits: Mapping[str, Durations]
    """How long jobs waited from when they were due, by queue."""
    restarts: Mapping[tuple[str, str], int]
    """Replaced processes by kind and reason."""
    busy_threads: int
    busy_coroutines: int
    idle_coroutines: int
    idle_threads: int
    loop_age_s: float
    """Since the supervisor's loop last came round."""
    dropped_lines: int
    database_up: bool
    reloads: Mapping[str, int] = field(default_factory=dict[str, int])
    """By outcome."""
    expired: Mapping[str, int] = field(default_factory=dict[str, int])
    """Jobs that were not begun in time, by queue."""
    reload_succeeded: bool = True
    """Whether the last one was done; so it is when there was none."""
    resident_bytes: Mapping[tuple[str, str], int] = field(
        default_factory=dict[tuple[str, str], int]
    )
    """Memory by kind and number of the child: its successor has the same."""
    class_outcomes: Mapping[str, Mapping[str, int]] = field(
        default_factory=dict[str, dict[str, int]]
    )
    """Jobs by class and outcome."""
    class_runs: Mapping[str, Durations] = field(default_factory=dict[str, Durations])
    """How long jobs ran, by class."""
    failures: Mapping[str, Mapping[str, int]] = field(default_factory=dict[str, dict[str, int]])
    """Attempts that an error has ended, by its type and by what became of the job."""
    web_requests: Mapping[tuple[str, str], int] = field(
        default_factory=dict[tuple[str, str], int]
    )
    """Requests to the dashboard, by page and status."""
    prunes: int = 0
    """Processes of other trees that were taken for dead."""
    claims_lost: int = 0
    outages: int = 0
    outage_s: float = 0.0
    """How long those that are over have lasted."""
    outage_age_s: float = 0.0
    """How long the one has lasted that is not over."""


@late.dataclass(frozen=True, slots=True)
class DatabaseFigures:
    """The figures of the database, of all trees on it."""

    depths: Mapping[str, Mapping[str, int]]
    """Jobs by queue and state."""
    latencies_s: Mapping[str, float]
    """How long the oldest ready job of a queue has waited."""
    claim_ages_s: Mapping[str, float]
    """For how long a process has had the job of a queue that was claimed first."""
    processes: Mapping[str, int]
    """Processes by kind."""
    heartbeat_ages_s: Mapping[tuple[str, str], float]
    """By kind and series of the process: its successor has the same."""
    tasks: Mapping[str, TaskRuns]
    """The runs of recurring tasks, by key."""
    last_heartbeat: float | None = None
    """When the heartbeat job last ran (seconds since the epoch)."""
    postgresql: str = ""
    """The server's version."""
    lost_jobs: int = 0
    """Jobs that were found in no table, and still are."""
    lost_walk_age_s: float | None = None
    """How long ago a walk over all jobs has ended that looked for such ones."""
    unknown_jobs: Mapping[str, int] = field(default_factory=dict[str, int])
    """Ready jobs by queue whose class no worker knows that takes from it."""
    unknown_for_s: Mapping[str, float] = field(default_factory=dict[str, float])
    """For how long there have been such ones."""
    paused: frozenset[str] = frozenset()
    """The queues that are paused."""
    dispatch_lag_s: float = 0.0
    """For how long the oldest scheduled job has been due."""
    tables: Mapping[str, TableSize] = field(default_factory=dict[str, TableSize])
    """Our tables by name."""
    oldest_transaction_s: float = 0.0
    """How old the oldest transaction is, of those that our role sees."""
    arrivals: Mapping[str, Arrived] = field(default_factory=dict[str, Arrived])
    """How many jobs have come into a queue, as it was stored."""
    run_times_s: Mapping[str, float] = field(default_factory=dict[str, float])
    """How long jobs of a queue ran lately."""
    enqueued: Mapping[str, int] = field(default_factory=dict[str, int])
    """How many jobs have come into a queue: never goes back."""
    desired_workers: Mapping[str, int] | None = None
    """How many workers a queue needs; None without a target."""
    busy_threads: Mapping[str, int] | None = None
    """Threads by the queue of the job that they run; None where no tree is asked."""
