"""The keys of queue.yml: their kinds, their bounds, their defaults."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from jobsd.configuration import names
from jobsd.configuration.database_url import database_url
from jobsd.configuration.faults import Mistake
from jobsd.configuration.fields import Entry
from jobsd.configuration.kinds import DAY_S, boolean, duration, optional, size, text, whole
from jobsd.configuration.nodes import Mapping, Scalar
from jobsd.configuration.options import (
    DatabaseOptions,
    DispatcherOptions,
    JobsOptions,
    MonitorOptions,
    SchedulerOptions,
    SupervisorOptions,
    WorkerOptions,
)

if TYPE_CHECKING:
    from pathlib import Path

    from jobsd.configuration.faults import Faults
    from jobsd.configuration.nodes import Node, Pair
    from jobsd.configuration.source import Place

KEYS = frozenset(
    {
        "import",
        "time_zone",
        "database",
        "dispatchers",
        "workers",
        "scheduler",
        "supervisor",
        "monitor",
        "jobs",
    },
)
DEFAULT_BIND = "127.0.0.1:9394"

_UNKNOWN_CLASS_S = 600.0
_MOST_JOBS = (1 << 31) - 1
_INTERVAL = duration(0.001, DAY_S)
# A round may contain an attempt to connect, which takes three seconds to fail.
_HANG_MIN_S = 5.0
_HANG = duration(_HANG_MIN_S, DAY_S)


@dataclass(frozen=True, slots=True)
class QueueFile:
    """What one section says, completed by the defaults.

    `wants_scheduler`: a scheduler is to run even where no task is written down.
    `place` is where it says which processes run.
    """

    place: Place

    imports: tuple[str, ...]
    time_zone: str
    database: DatabaseOptions
    dispatchers: tuple[DispatcherOptions, ...]
    workers: tuple[WorkerOptions, ...]
    scheduler: SchedulerOptions
    wants_scheduler: bool
    supervisor: SupervisorOptions
    monitor: MonitorOptions
    jobs: JobsOptions


def is_own(pair: Pair) -> bool:
    """Return whether a pair of the top level is a setting, not a section."""
    return pair.key.text in KEYS


def read(  # noqa: PLR0913 - what a section is read with
    section: Mapping | None,
    place: Place,
    root: Path,
    faults: Faults,
    *,
    part: bool,
    tried_out: bool,
) -> QueueFile:
    """Read one section; `part` of one is not judged as a whole.

    `place` is told where nothing is written down; paths are relative to `root`. Where all is
    only `tried_out` some defaults are others.
    """
    with Entry(section, "", place, faults) as entry:
        dispatchers, workers = entry.mappings("dispatchers"), entry.mappings("workers")
        # Once either kind is given, the one that is left out means none of it.
        absent = (entry.inner("", None),) if dispatchers is workers is None else ()
        scheduler = entry.mapping("scheduler")
        scheduler_options = _scheduler(scheduler)
        return QueueFile(
            place=entry.place_of("workers" if entry.is_given("workers") else "dispatchers"),
            imports=entry.texts("import", names.module, ()),
            time_zone=entry.read("time_zone", text(names.time_zone), "UTC"),
            database=_database(entry.mapping("database")),
            dispatchers=tuple(map(_dispatcher, absent if dispatchers is None else dispatchers)),
            workers=tuple(map(_worker, absent if workers is None else workers)),
            scheduler=scheduler_options,
            wants_scheduler=entry.is_given("scheduler")
            and scheduler_options.dynamic_tasks_enabled,
            supervisor=_supervisor(entry.mapping("supervisor"), root, part=part),
            monitor=_monitor(entry),
            jobs=_jobs(entry.mapping("jobs"), tried_out=tried_out),
        )


def _database(entry: Entry) -> DatabaseOptions:
    with entry:
        return DatabaseOptions(
            url=entry.read("url", optional(text(database_url)), None),
            listen_url=entry.read("listen_url", optional(text(database_url)), None),
            schema=entry.read("schema", text(names.identifier), "jobsd"),
            wakeups=entry.read("wakeups", text(names.one_of("auto", "off")), "auto"),
        )


def _dispatcher(entry: Entry) -> DispatcherOptions:
    with entry:
        return DispatcherOptions(
            polling_interval_s=entry.read("polling_interval", _INTERVAL, 1.0),
            batch_size=entry.read("batch_size", whole(1, 10_000), 500),
            concurrency_maintenance=entry.read(
                "concurrency_maintenance", boolean, default=True
            ),
            concurrency_maintenance_interval_s=entry.read(
                "concurrency_maintenance_interval", _INTERVAL, 600.0
            ),
        )


def _worker(entry: Entry) -> WorkerOptions:
    with entry:
        return WorkerOptions(
            queues=entry.texts("queues", names.queue_pattern, ("*",)),
            threads=entry.read("threads", whole(1, 256), 3),
            processes=entry.read("processes", whole(0, 64), 1),
            polling_interval_s=entry.read("polling_interval", _INTERVAL, 0.1),
            prefetch=entry.read("prefetch", _prefetch, None),
            max_jobs=entry.read("max_jobs", optional(whole(1, _MOST_JOBS)), None),
            max_memory=entry.read("max_memory", optional(size(1 << 20)), None),
            max_age_s=entry.read("max_age", optional(duration(1.0)), None),
        )


def _prefetch(node: Node) -> int | None:
    if isinstance(node, Scalar) and node.text.strip() == "auto":
        return None
    try:
        return whole(0, 10_000)(node)
    except Mistake:
        raise Mistake("must be auto, or a whole number from 0 to 10000") from None


def _scheduler(entry: Entry) -> SchedulerOptions:
    with entry:
        return SchedulerOptions(
            dynamic_tasks_enabled=entry.read("dynamic_tasks_enabled", boolean, default=True),
            polling_interval_s=entry.read("polling_interval", _INTERVAL, 5.0),
            keep_history_for_s=entry.read("keep_history_for", duration(1.0), 30 * DAY_S),
        )


def _supervisor(entry: Entry, root: Path, *, part: bool) -> SupervisorOptions:
    with entry:
        threshold_s = entry.read("process_alive_threshold", duration(0.3, 7 * DAY_S), 60.0)
        options = SupervisorOptions(
            shutdown_timeout_s=entry.read("shutdown_timeout", duration(0.001, DAY_S), 5.0),
            heartbeat_interval_s=entry.read("heartbeat_interval", duration(0.1, DAY_S), 10.0),
            process_alive_threshold_s=threshold_s,
            hang_timeout_s=entry.read("hang_timeout", optional(_HANG), None)
            or max(threshold_s * 2 / 3, _HANG_MIN_S),
            pidfile=entry.read("pidfile", optional(text(lambda path: root / path)), None),
        )
        if not part:
            _judge_heartbeats(entry, options)
            _judge_hang_timeout(entry, options)
        return options


def _judge_heartbeats(entry: Entry, options: SupervisorOptions) -> None:
    if options.process_alive_threshold_s > 2 * options.heartbeat_interval_s:
        return
    hint = "else one late heartbeat makes a living process look dead"
    if entry.is_given("process_alive_threshold"):
        message = "must be more than twice heartbeat_interval"
        entry.wrong("process_alive_threshold", message, hint)
    else:
        message = "must be less than half of process_alive_threshold"
        entry.wrong("heartbeat_interval", message, hint)


def _judge_hang_timeout(entry: Entry, options: SupervisorOptions) -> None:
    threshold_s = options.process_alive_threshold_s
    if not entry.is_given("hang_timeout") or options.hang_timeout_s < threshold_s:
        return
    message = f"must be less than process_alive_threshold, which is {threshold_s:g} s"
    default_s = max(threshold_s * 2 / 3, _HANG_MIN_S)
    hint = (
        "else others take the jobs of a process that hangs while it may still run them:"
        f" raise process_alive_threshold, or leave hang_timeout out ({default_s:g} s then)"
    )
    entry.wrong("hang_timeout", message, hint)


def _monitor(entry: Entry) -> MonitorOptions:
    if entry.has("monitor") and not entry.is_given("monitor"):
        return MonitorOptions(None, bind_is_default=False)
    with entry.mapping("monitor") as monitor:
        default: str | None = DEFAULT_BIND
        bind = monitor.read("bind", optional(text(bind_or_off)), default)
        return MonitorOptions(bind, bind_is_default=not monitor.has("bind"))


def bind_or_off(value: str) -> str | None:
    """Read HOST:PORT, or off."""
    return None if value.lower() in {"off", "false"} else names.bind(value)


def _jobs(entry: Entry, *, tried_out: bool) -> JobsOptions:
    with entry:
        return JobsOptions(
            preserve_finished_jobs=entry.read("preserve_finished_jobs", boolean, default=True),
            clear_finished_jobs_after_s=entry.read(
                "clear_finished_jobs_after", duration(0.0), DAY_S
            ),
            default_concurrency_control_period_s=entry.read(
                "default_concurrency_control_period", duration(0.001), 180.0
            ),
            filter_arguments=entry.texts("filter_arguments", names.name, ()),
            unknown_class_after_s=entry.read(
                "unknown_class_after", duration(0.0), 0.0 if tried_out else _UNKNOWN_CLASS_S
            ),
        )
