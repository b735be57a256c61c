"""A whole configuration for a monitor, fast enough for tests."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobsd.configuration.options import (
    KINDS,
    DatabaseOptions,
    DispatcherOptions,
    JobsOptions,
    MonitorOptions,
    Options,
    SchedulerOptions,
    SupervisorOptions,
    WorkerOptions,
)
from jobsd.recurring.task import TaskOptions

if TYPE_CHECKING:
    from jobsd.database.connection import Target

_WORKER = WorkerOptions(
    queues=("*",),
    threads=3,
    processes=1,
    polling_interval_s=0.1,
    prefetch=None,
    max_jobs=None,
    max_memory=None,
    max_age_s=None,
)


def make_options(
    target: Target,
    *,
    heartbeat_interval_s: float = 0.2,
    process_alive_threshold_s: float = 60.0,
    hang_timeout_s: float = 60.0,
    **changes: Any,
) -> Options:
    """Return options for one worker, whose heartbeat is written five times a second."""
    options = Options(
        environment="test",
        root=Path("/"),
        imports=(),
        time_zone="UTC",
        database=DatabaseOptions(target.url, None, target.schema, "auto"),
        dispatchers=(),
        workers=(_WORKER,),
        scheduler=SchedulerOptions(
            dynamic_tasks_enabled=True, polling_interval_s=5, keep_history_for_s=86400
        ),
        supervisor=SupervisorOptions(
            shutdown_timeout_s=5,
            heartbeat_interval_s=heartbeat_interval_s,
            process_alive_threshold_s=process_alive_threshold_s,
            hang_timeout_s=hang_timeout_s,
            pidfile=None,
        ),
        monitor=MonitorOptions(None, bind_is_default=True),
        jobs=JobsOptions(
            preserve_finished_jobs=True,
            clear_finished_jobs_after_s=86400,
            default_concurrency_control_period_s=180,
            filter_arguments=(),
        ),
        tasks=(),
        only=KINDS,
        skip_recurring=False,
        log_format="json",
        log_level="info",
        warnings=(),
        schedules=False,
    )
    return replace(options, **changes)


def with_dispatcher(options: Options) -> Options:
    """Return options for a dispatcher too."""
    dispatcher = DispatcherOptions(
        polling_interval_s=1,
        batch_size=500,
        concurrency_maintenance=True,
        concurrency_maintenance_interval_s=600,
    )
    return replace(options, dispatchers=(dispatcher,))


def heartbeat_task(schedule: str) -> TaskOptions:
    """Return the recurring task that beats."""
    return TaskOptions(
        key="heartbeat",
        class_name="HeartbeatJob",
        command=None,
        schedule=schedule,
        arguments=(),
        queue_name=None,
        priority=None,
        description="",
        time_zone="UTC",
        enabled=True,
        run_at_start=True,
        on_missed="skip",
        overlap="allow",
        source="config/recurring.yml:1",
    )


def beating(target: Target, schedule: str = "every 5 minutes") -> Options:
    """Return options with a heartbeat."""
    return make_options(target, tasks=(heartbeat_task(schedule),), schedules=True)
