"""The table of all settings, and the frozen, complete, checked values that result from it.

Each class is a section of queue.yml, and each of its fields that calls `setting` is a row of
the table: kind with bounds, default, sentence, flag, variable. A new setting is one line here
and the code that uses it; a new section is a class and a line in `SECTIONS`. Durations are
seconds, sizes are bytes. This module reads no file: `queue_file` does, by these rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from jobsd.jobs.time_limits import LIMIT_MAX_S, LIMIT_MIN_S
from jobsd.scoreboard.thresholds import Thresholds

from .by_queue import by_queue
from .folder import QUEUE_FILE, RECURRING_FILE
from .kinds import (
    DAY_S,
    IDENTIFIER,
    PATH,
    TEXT,
    TIME_ZONE,
    URL,
    auto_or,
    boolean,
    choice,
    duration,
    optional,
    read_bind,
    read_module,
    read_name,
    read_network,
    read_place,
    read_prefix,
    read_queue_pattern,
    size,
    some_of,
    switch,
    text,
    texts,
    whole,
)
from .setting import setting
from .users import USERS, User

if TYPE_CHECKING:
    from jobsd.recurring.definition import TaskDefinition

KINDS = frozenset({"worker", "dispatcher", "scheduler"})
TRYING = ("development", "test")  # environments in which a start needs no file

_HANG_MIN_S = 5.0  # a poll may contain an attempt to connect, which fails after 3 s
_COUNT_MAX = (1 << 31) - 1
_INTERVAL = duration(0.001, DAY_S)
_ADDRESS = optional(text(read_bind, "HOST:PORT, or off"))
_LEVEL = choice(
    "debug", "info", "warning", "error", "critical", warn="warning", fatal="critical"
)
_MODULES = texts(read_module, "dotted names of modules")
_QUEUES = texts(read_queue_pattern, "queues", ("*",))


@dataclass(frozen=True, slots=True)
class DatabaseOptions:
    """The database of the queue. URLs hold passwords, so no `repr` shows them."""

    url: str | None = setting(
        URL,
        "null",
        "The database; by default that of DATABASE_URL, else the embedded server.",
        "--database-url URL",
        "QUEUE_DATABASE_URL",
        fallback="DATABASE_URL",
        secret=True,
    )
    listen_url: str | None = setting(
        URL, "null", "The URL for LISTEN, where `url` is a transaction pooler's.", secret=True
    )
    schema: str = setting(
        IDENTIFIER, "jobsd", "The schema of the tables.", fallback="JOBSD_DATABASE_SCHEMA"
    )
    wakeups: str = setting(choice("auto", "off"), "auto", "auto: use NOTIFY; off: only poll.")


@dataclass(frozen=True, slots=True)
class DispatcherOptions:
    """One dispatcher: it makes due jobs ready."""

    polling_interval_s: float = setting(
        _INTERVAL, "1", "The pause between two polls when nothing wakes it."
    )
    batch_size: int = setting(whole(1, 10_000), "500", "The most jobs that a statement moves.")
    concurrency_maintenance: bool = setting(
        boolean, "true", "Delete limit keys, expirations and results whose time is over."
    )
    concurrency_maintenance_interval_s: float = setting(
        _INTERVAL, "600", "How often concurrency_maintenance deletes them."
    )


@dataclass(frozen=True, slots=True)
class WorkerOptions:
    """`processes` workers that are alike.

    `prefetch` None: as many jobs as their run time allows. None of `max_jobs`, `max_memory`
    and `max_age_s`: never recycled for that.
    """

    queues: tuple[str, ...] = setting(
        _QUEUES, "*", 'Claimed in order: "urgent, mail_*"; * only at the end.', "--queues LIST"
    )
    threads: int = setting(whole(1, 256), "3", "How many jobs a process runs at once.")
    coroutines: int | None = setting(optional(whole(1, 1000)), "null", "Instead of threads.")
    processes: int = setting(whole(0, 64), "1", "How many such processes run.")
    polling_interval_s: float = setting(
        _INTERVAL, "0.1", "The pause between two polls when nothing wakes it."
    )
    prefetch: int | None = setting(
        auto_or(whole(0, 10_000)), "auto", "How many jobs to claim ahead; 0: for idle threads."
    )
    max_jobs: int | None = setting(
        optional(whole(1, _COUNT_MAX)), "null", "Recycle a worker after this many jobs."
    )
    max_memory: int | None = setting(
        optional(size(1 << 20)), "null", "Recycle a worker that uses more memory, e.g. 512MB."
    )
    max_age_s: float | None = setting(
        optional(duration(1.0)), "null", "Recycle a worker that is older, e.g. 1d."
    )

    @property
    def at_once(self) -> int:
        """How many jobs a process runs at once: `coroutines` where given, else `threads`."""
        return self.coroutines or self.threads


@dataclass(frozen=True, slots=True)
class SchedulerOptions:
    """The scheduler: it enqueues recurring tasks."""

    dynamic_tasks_enabled: bool = setting(boolean, "true", "Run tasks added at run time, too.")
    polling_interval_s: float = setting(
        _INTERVAL, "5", "How often it checks whether tasks have changed."
    )
    keep_history_for_s: float = setting(duration(1.0), "30d", "How long past runs are kept.")


@dataclass(frozen=True, slots=True)
class SupervisorOptions:
    """The times by which a tree is judged.

    `process_alive_threshold_s` is more than two heartbeats. `hang_timeout_s` is less than it,
    unless it is the default of a very short one.
    """

    shutdown_timeout_s: float = setting(
        _INTERVAL, "5", "How long running jobs may take when the tree stops."
    )
    heartbeat_interval_s: float = setting(
        duration(0.1, DAY_S), "10", "How often a heartbeat is written."
    )
    process_alive_threshold_s: float = setting(
        duration(0.3, 7 * DAY_S), "60", "A process without heartbeats for this long is dead."
    )
    hang_timeout: float | None = setting(
        optional(duration(_HANG_MIN_S, DAY_S)),
        "null",
        "Kill a process that hangs for this long; null: 2/3 of process_alive_threshold.",
    )
    pidfile: Path | None = setting(
        optional(PATH), "null", "Refuse a second start (exit status 75).", "--pidfile FILE"
    )

    @property
    def hang_timeout_s(self) -> float:
        """The time without an iteration after which a process counts as hung."""
        return self.hang_timeout or max(self.process_alive_threshold_s * 2 / 3, _HANG_MIN_S)

    @property
    def thresholds(self) -> Thresholds:
        """The times that other trees must know."""
        return Thresholds(
            self.heartbeat_interval_s, self.process_alive_threshold_s, self.hang_timeout_s
        )


@dataclass(frozen=True, slots=True)
class MonitorOptions:
    """The address of metrics and health: "127.0.0.1:9394", ":9394", "[::1]:9394".

    No `bind`: no HTTP; nor is there any if the default port (`bind_is_default`) is taken.
    """

    bind: str | None = setting(
        _ADDRESS,
        "127.0.0.1:9394",
        "Where /metrics and /healthz are served; null: no HTTP.",
        "--metrics-bind ADDR|off",
        "JOBSD_METRICS_BIND",
    )
    latency_targets_s: Mapping[str, float] | None = setting(
        optional(by_queue(duration(0.1, DAY_S))),
        "null",
        "How soon jobs are to start, in all queues or by queue: {default: 1m, mail: 10s}.",
        key="latency_target",
    )
    bind_is_default: bool = True


@dataclass(frozen=True, slots=True)
class WebOptions:
    """The dashboard. Without users it is served on loopback only."""

    bind: str | None = setting(
        _ADDRESS, "null", "The address on which the daemon serves it; null: it does not."
    )
    path: str = setting(text(read_prefix, "a path"), "/", "The path of the dashboard.")
    database_url: str | None = setting(
        URL, "null", "The database it reads: a replica, or as another role.", secret=True
    )
    users: tuple[User, ...] = setting(USERS, "{}", "Who may see it and act on it.", secret=True)
    hosts: tuple[str, ...] = setting(
        texts(read_name, "names of hosts"), "", "The host names that browsers may open it by."
    )
    trusted_header: str | None = setting(
        optional(TEXT), "null", "The header by which a proxy names the user: X-Remote-User."
    )
    trusted_proxies: tuple[str, ...] = setting(
        texts(read_network, "addresses or networks"), "", "Proxies whose header is believed."
    )
    read_only: bool = setting(boolean, "false", "Show everything, change nothing.")


@dataclass(frozen=True, slots=True)
class JobsOptions:
    """How long jobs may run and finished ones are kept; which arguments are never shown."""

    preserve_finished_jobs: bool = setting(boolean, "true", "Keep jobs that have finished.")
    clear_finished_jobs_after_s: float = setting(duration(0.0), "1d", "How long they are kept.")
    default_concurrency_control_period_s: float = setting(
        duration(0.001), "3m", "The `duration` of limits that do not set it."
    )
    filter_arguments: tuple[str, ...] = setting(
        texts(read_name, "names of arguments"), "", "Arguments that are never shown."
    )
    timeout_s: float | None = setting(
        optional(duration(LIMIT_MIN_S, LIMIT_MAX_S)),
        "null",
        "Interrupt a job that runs longer, unless it has its own timeout; null: never.",
    )
    kill_after_s: float = setting(
        duration(LIMIT_MIN_S, LIMIT_MAX_S),
        "10s",
        "End the process of a job that still runs this long after its timeout.",
    )
    keep_log: int | None = setting(
        optional(size(1 << 10, 1 << 24)),
        "null",
        "Keep the output and log of each attempt, up to this size, e.g. 64KB; null: none.",
    )
    unknown_class_after_s: float = setting(
        duration(0.0),
        "10m",
        "Fail a job that no code has taken for this long; in development, test: at once.",
        default_when_trying="0",
    )


@dataclass(frozen=True, slots=True)
class LogsOptions:
    """The destination of the log, and its content.

    No `file`: stdout. `format` None: `console` on a terminal, otherwise `json`.
    """

    file: Path | None = setting(
        optional(PATH),
        "null",
        "The log file; null: stdout.",
        "--log-file FILE",
        "JOBSD_LOG_FILE",
    )
    format: str | None = setting(
        optional(choice("json", "console")),
        "null",
        "json or console; null: console on a terminal, else json.",
        "--log-format FORMAT",
        "JOBSD_LOG_FORMAT",
    )
    level: str = setting(
        _LEVEL, "info", "The lowest level logged.", "--log-level LEVEL", "JOBSD_LOG_LEVEL"
    )
    slow_after_s: float | None = setting(
        optional(duration(0.0)), "null", "Log jobs that start later, or run longer, than this."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class StartOptions:
    """Settings that only flags and variables have; no file has a key for them."""

    environment: str = setting(
        TEXT, "development", "The section that overlays `default:`.", "--env NAME", "JOBSD_ENV"
    )
    config: str = setting(
        TEXT, QUEUE_FILE, "The configuration file.", "-c, --config FILE", "JOBSD_CONFIG"
    )
    recurring: str = setting(
        TEXT,
        RECURRING_FILE,
        "The file of recurring tasks; with - before its name it may be missing.",
        "-r, --recurring FILE",
        "JOBSD_RECURRING_SCHEDULE",
    )
    skip_recurring: bool = setting(
        switch, "false", "Start no scheduler.", "--skip-recurring", "JOBSD_SKIP_RECURRING"
    )
    until_empty: bool = setting(
        switch, "false", "Stop when no job is left to do; start no scheduler.", "--until-empty"
    )
    horizon_s: float = setting(
        duration(0.0),
        "0",
        "With --until-empty: also wait for jobs that are due within it.",
        "--horizon DURATION",
    )
    only: frozenset[str] = setting(
        some_of("worker", "dispatcher", "scheduler"),
        "worker, dispatcher, scheduler",
        "Start only these kinds: worker, dispatcher, scheduler.",
        "--only KIND[,KIND]",
    )
    worker_group: int | None = setting(
        optional(text(read_place, "a whole number from 1")),
        "null",
        "Start only one entry of `workers`, by its position in the list: 1, 2, ….",
        "--worker-group NUMBER",
        "JOBSD_WORKER_GROUP",
    )
    log_jobs: bool = setting(
        switch,
        "false",
        "Log each step of each job; summarize nothing.",
        "--log-jobs",
        "JOBSD_LOG_JOBS",
    )

    @property
    def recurring_file(self) -> str:
        """The file of recurring tasks; `-` before its name means that it may be missing."""
        return self.recurring.removeprefix("-")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options(StartOptions):
    """All settings, in one value.

    `root`: the project's folder. `warnings`: for the operator. `schedules`: a scheduler runs.
    `alike` is equal in two trees of a host that are started alike. `given`: see `flags.place`.
    """

    root: Path
    imports: tuple[str, ...] = setting(
        *(_MODULES, "", "Modules that define jobs.", "--import MODULE", "JOBSD_IMPORT"),
        key="import",
        adds=True,
    )
    time_zone: str = setting(TIME_ZONE, "UTC", "The zone of schedules that name none.")
    database: DatabaseOptions = DatabaseOptions()
    dispatchers: tuple[DispatcherOptions, ...] = (DispatcherOptions(),)
    workers: tuple[WorkerOptions, ...] = (WorkerOptions(),)
    scheduler: SchedulerOptions = SchedulerOptions()
    supervisor: SupervisorOptions = SupervisorOptions()
    monitor: MonitorOptions = MonitorOptions()
    web: WebOptions = WebOptions()
    jobs: JobsOptions = field(default_factory=JobsOptions)
    logs: LogsOptions = LogsOptions()
    tasks: tuple[TaskDefinition, ...] = ()
    warnings: tuple[str, ...] = ()
    schedules: bool = True
    alike: str = ""
    given: tuple[tuple[str, str], ...] = ()


SECTIONS = {
    "database": DatabaseOptions,
    "dispatchers": DispatcherOptions,
    "workers": WorkerOptions,
    "scheduler": SchedulerOptions,
    "supervisor": SupervisorOptions,
    "monitor": MonitorOptions,
    "web": WebOptions,
    "jobs": JobsOptions,
    "logs": LogsOptions,
}
LISTS = ("dispatchers", "workers")  # the sections with several entries
