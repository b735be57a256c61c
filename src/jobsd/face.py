"""The names of `from jobsd import …`: the module of each, and its requirements.

`import jobsd` alone loads nothing, and a name loads no more than it needs: a program that
defines a job loads no driver before it enqueues.
"""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from jobsd.enqueueing import on_demand as _on_demand  # noqa: F401 - registers itself  # pyright: ignore[reportUnusedImport]
from jobsd.jobs.default_database import find_target_by

if TYPE_CHECKING:
    from jobsd.database.connection import Target

_NAMES = {
    "errors": (
        "AfterCommitError"
        " ArgumentError ArgumentGoneError Cancelled CompletionError"
        " ConfigurationError"
        " DatabaseUnreachableError"
        " DuplicateError"
        " EmbeddedServerError"
        " EnqueueError Error JobDiscardedError JobFailedError JobNotFoundError LimitError"
        " NotFoundError"
        " ProcessError ProcessExitError ProcessMissingError ProcessPrunedError RefusedError"
        " ResultError SchemaError ThreadError TimeLimitExceeded UniqueError"
        " UnknownJobError"
    ),
    "heartbeat.job": "HeartbeatJob",
    "heartbeat.log": "HeartbeatLog health_status",
    "events.event_list": "Event",
    "events.hooks": (
        "Process on_event on_thread_error on_start on_stop on_exit"
        " on_worker_start on_worker_stop on_worker_exit"
        " on_dispatcher_start on_dispatcher_stop on_dispatcher_exit"
        " on_scheduler_start on_scheduler_stop on_scheduler_exit"
        " on_monitor_start on_monitor_stop on_monitor_exit"
    ),
    "arguments.arguments": "argument_type",
    "jobs.middleware": "around_enqueue around_job",
    "acts.cancels": "acancel cancel cancel_all",
    "jobs.context": "carry",
    "enqueueing.client": "aenqueue_many configure enqueue_many",
    "jobs.current": "CurrentJob current_job stopping",
    "jobs.definition": "Job job",
    "enqueueing.bulk": "EnqueuedJobs",
    "acts.discards": "discard discard_all",
    "jobs.draft": "EnqueuedJob handle",
    "jobs.enqueueable": "FunctionJob",
    "jobs.limits": "Limit",
    "acts.retries": "retry retry_all",
    "jobs.policy": "Discard Retry Snooze constant exponential",
    "jobs.unique": "Unique",
    "acts.retention": "clear_finished_in_batches",
    "operations.job_info": "JobInfo afind find",
    "recurring.tasks": "RecurringTask",
}

HOMES = {name: module for module, names in _NAMES.items() for name in names.split()}


def find(name: str) -> object:
    """Return the object for `from jobsd import NAME`.

    Raises:
        AttributeError: for a name that jobsd does not have.
    """
    if name == "queues":
        return import_module("jobsd.acts.queues")
    if name not in HOMES:
        raise AttributeError(f"module 'jobsd' has no attribute {name!r}")
    found: object = getattr(import_module(f"jobsd.{HOMES[name]}"), name)
    return found


def _find_target() -> Target:
    # Imported at the first use only: few programs read the configuration, commands do.
    from jobsd.configuration.target import find_target  # noqa: PLC0415

    return find_target(Path.cwd(), os.environ)


def _find_schema() -> str:
    from jobsd.configuration.target import find_schema  # noqa: PLC0415

    return find_schema(Path.cwd(), os.environ)


find_target_by(_find_target, _find_schema)
