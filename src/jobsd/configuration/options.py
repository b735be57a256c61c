"""What the operator's files, variables and flags come to: frozen, complete, checked.

Nothing in here reads or decides; whoever holds an `Options` needs no default of its own.
Durations are seconds, sizes are bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from jobsd.processes.thresholds import Thresholds

if TYPE_CHECKING:
    from pathlib import Path

    from jobsd.recurring.task import TaskOptions

KINDS = frozenset({"worker", "dispatcher", "scheduler"})


@dataclass(frozen=True, slots=True)
class DatabaseOptions:
    """Where the queue lives.

    No `url` means the embedded server. `listen_url` leads past a transaction pooler.
    `wakeups` is "auto" or "off". URLs hold passwords, so no `repr` shows them.
    """

    url: str | None = field(repr=False)
    listen_url: str | None = field(repr=False)
    schema: str
    wakeups: str


@dataclass(frozen=True, slots=True)
class DispatcherOptions:
    """One dispatcher; `batch_size` is the most jobs that it moves in one statement."""

    polling_interval_s: float
    batch_size: int
    concurrency_maintenance: bool
    concurrency_maintenance_interval_s: float


@dataclass(frozen=True, slots=True)
class WorkerOptions:
    """`processes` workers that are alike; `queues` are names, `prefix*` or `*`, in order.

    `prefetch` None: as many jobs as their run time says; 0: one per idle thread. A worker
    is replaced once it has run `max_jobs`, is bigger than `max_memory`, or is older than
    `max_age_s`; None: never.
    """

    queues: tuple[str, ...]
    threads: int
    processes: int
    polling_interval_s: float
    prefetch: int | None
    max_jobs: int | None
    max_memory: int | None
    max_age_s: float | None


@dataclass(frozen=True, slots=True)
class SchedulerOptions:
    """Whether tasks made at run time count, how often they are looked for, and their past."""

    dynamic_tasks_enabled: bool
    polling_interval_s: float
    keep_history_for_s: float


@dataclass(frozen=True, slots=True)
class SupervisorOptions:
    """The times by which the tree is judged; `process_alive_threshold_s` > 2 heartbeats.

    `hang_timeout_s` is less than that, unless it is the default of a very short one.
    """

    shutdown_timeout_s: float
    heartbeat_interval_s: float
    process_alive_threshold_s: float
    hang_timeout_s: float
    pidfile: Path | None

    @property
    def thresholds(self) -> Thresholds:
        """What other trees are told of them."""
        return Thresholds(
            self.heartbeat_interval_s, self.process_alive_threshold_s, self.hang_timeout_s
        )


@dataclass(frozen=True, slots=True)
class MonitorOptions:
    """Where metrics and health are served: "127.0.0.1:9394", ":9394", "[::1]:9394".

    No `bind`: no HTTP. With `bind_is_default` nobody asked for this port, so one that is
    taken is no reason not to start.
    """

    bind: str | None
    bind_is_default: bool


@dataclass(frozen=True, slots=True)
class JobsOptions:
    """What becomes of finished jobs, and which arguments are never shown.

    A job whose class no worker knows fails when that has been so for `unknown_class_after_s`.
    """

    preserve_finished_jobs: bool
    clear_finished_jobs_after_s: float
    default_concurrency_control_period_s: float
    filter_arguments: tuple[str, ...]
    unknown_class_after_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Options:
    """Everything that is set, in one value.

    `only` holds the kinds of processes to start. `log_format` None: `console` on a
    terminal, else `json`. `warnings` are sentences for the operator. `schedules` says
    whether a scheduler is among what runs.
    """

    environment: str
    root: Path
    imports: tuple[str, ...]
    time_zone: str
    database: DatabaseOptions
    dispatchers: tuple[DispatcherOptions, ...]
    workers: tuple[WorkerOptions, ...]
    scheduler: SchedulerOptions
    supervisor: SupervisorOptions
    monitor: MonitorOptions
    jobs: JobsOptions
    tasks: tuple[TaskOptions, ...]
    only: frozenset[str]
    skip_recurring: bool
    log_format: str | None
    log_level: str
    warnings: tuple[str, ...]
    schedules: bool = True
    tree: str = ""
    """What the tree is called on its host: the same at each start from the same files."""
    log_jobs: bool = False
    """Whether each event of a job is a line, however many there are."""
