"""A whole configuration for a monitor, fast enough for tests."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobsd.configuration.options import (
    DatabaseOptions,
    DispatcherOptions,
    JobsOptions,
    LogsOptions,
    MonitorOptions,
    Options,
    SupervisorOptions,
)
from jobsd.recurring.definition import TaskDefinition

if TYPE_CHECKING:
    from jobsd.database.connection import Target


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
        database=DatabaseOptions(target.url, schema=target.schema),
        dispatchers=(),
        supervisor=SupervisorOptions(
            heartbeat_interval_s=heartbeat_interval_s,
            process_alive_threshold_s=process_alive_threshold_s,
            hang_timeout=hang_timeout_s,
        ),
        monitor=MonitorOptions(bind=None),
        jobs=JobsOptions(unknown_class_after_s=0),
        logs=LogsOptions(format="json"),
        schedules=False,
    )
    return replace(options, **changes)


def with_dispatcher(options: Options) -> Options:
    """Return options for a dispatcher too."""
    return replace(options, dispatchers=(DispatcherOptions(),))


def heartbeat_task(schedule: str) -> TaskDefinition:
    """Return the recurring task that beats."""
    return TaskDefinition(
        key="heartbeat",
        phrase=schedule,
        class_name="HeartbeatJob",
        run_at_start=True,
        source="config/recurring.yml:1",
    )


def beating(target: Target, schedule: str = "every 5 minutes") -> Options:
    """Return options with a heartbeat."""
    return make_options(target, tasks=(heartbeat_task(schedule),), schedules=True)
