"""Background jobs and recurring tasks for Python on PostgreSQL alone.

Importing this loads nothing, prints nothing and configures nothing: each name is loaded on
first access (`face`).
"""

TYPE_CHECKING = False  # true for checkers, by its name; importing `typing` costs more

if TYPE_CHECKING:
    from jobsd.acts import queues
    from jobsd.acts.cancels import acancel, cancel, cancel_all
    from jobsd.acts.discards import discard, discard_all
    from jobsd.acts.retention import clear_finished_in_batches
    from jobsd.acts.retries import retry, retry_all
    from jobsd.arguments.arguments import argument_type
    from jobsd.enqueueing.bulk import EnqueuedJobs
    from jobsd.enqueueing.client import aenqueue_many, configure, enqueue_many
    from jobsd.errors import (
        AfterCommitError,
        ArgumentError,
        ArgumentGoneError,
        Cancelled,
        CompletionError,
        ConfigurationError,
        DatabaseUnreachableError,
        DuplicateError,
        EmbeddedServerError,
        EnqueueError,
        Error,
        JobDiscardedError,
        JobFailedError,
        JobNotFoundError,
        LimitError,
        NotFoundError,
        ProcessError,
        ProcessExitError,
        ProcessMissingError,
        ProcessPrunedError,
        RefusedError,
        ResultError,
        SchemaError,
        ThreadError,
        TimeLimitExceeded,
        UniqueError,
        UnknownJobError,
    )
    from jobsd.events.event_list import Event
    from jobsd.events.hooks import (
        Process,
        on_dispatcher_exit,
        on_dispatcher_start,
        on_dispatcher_stop,
        on_event,
        on_exit,
        on_monitor_exit,
        on_monitor_start,
        on_monitor_stop,
        on_scheduler_exit,
        on_scheduler_start,
        on_scheduler_stop,
        on_start,
        on_stop,
        on_thread_error,
        on_worker_exit,
        on_worker_start,
        on_worker_stop,
    )
    from jobsd.heartbeat.job import HeartbeatJob
    from jobsd.heartbeat.log import HeartbeatLog, health_status
    from jobsd.jobs.context import carry
    from jobsd.jobs.current import CurrentJob, current_job, stopping
    from jobsd.jobs.definition import Job, job
    from jobsd.jobs.draft import EnqueuedJob, handle
    from jobsd.jobs.enqueueable import FunctionJob
    from jobsd.jobs.limits import Limit
    from jobsd.jobs.middleware import around_enqueue, around_job
    from jobsd.jobs.policy import Discard, Retry, Snooze, constant, exponential
    from jobsd.jobs.unique import Unique
    from jobsd.operations.job_info import JobInfo, afind, find
    from jobsd.recurring.tasks import RecurringTask
else:

    def __getattr__(name):  # noqa: ANN001, ANN202 - checkers read the imports above
        if name not in __all__:
            # `from jobsd import machine` tries this before it imports the module.
            raise AttributeError(f"module 'jobsd' has no attribute {name!r}")
        from jobsd.face import find  # noqa: PLC0415

        found = globals()[name] = find(name)
        return found


__all__ = [
    "AfterCommitError",
    "ArgumentError",
    "ArgumentGoneError",
    "Cancelled",
    "CompletionError",
    "ConfigurationError",
    "CurrentJob",
    "DatabaseUnreachableError",
    "Discard",
    "DuplicateError",
    "EmbeddedServerError",
    "EnqueueError",
    "EnqueuedJob",
    "EnqueuedJobs",
    "Error",
    "Event",
    "FunctionJob",
    "HeartbeatJob",
    "HeartbeatLog",
    "Job",
    "JobDiscardedError",
    "JobFailedError",
    "JobInfo",
    "JobNotFoundError",
    "Limit",
    "LimitError",
    "NotFoundError",
    "Process",
    "ProcessError",
    "ProcessExitError",
    "ProcessMissingError",
    "ProcessPrunedError",
    "RecurringTask",
    "RefusedError",
    "ResultError",
    "Retry",
    "SchemaError",
    "Snooze",
    "ThreadError",
    "TimeLimitExceeded",
    "Unique",
    "UniqueError",
    "UnknownJobError",
    "acancel",
    "aenqueue_many",
    "afind",
    "argument_type",
    "around_enqueue",
    "around_job",
    "cancel",
    "cancel_all",
    "carry",
    "clear_finished_in_batches",
    "configure",
    "constant",
    "current_job",
    "discard",
    "discard_all",
    "enqueue_many",
    "exponential",
    "find",
    "handle",
    "health_status",
    "job",
    "on_dispatcher_exit",
    "on_dispatcher_start",
    "on_dispatcher_stop",
    "on_event",
    "on_exit",
    "on_monitor_exit",
    "on_monitor_start",
    "on_monitor_stop",
    "on_scheduler_exit",
    "on_scheduler_start",
    "on_scheduler_stop",
    "on_start",
    "on_stop",
    "on_thread_error",
    "on_worker_exit",
    "on_worker_start",
    "on_worker_stop",
    "queues",
    "retry",
    "retry_all",
    "stopping",
]


def __dir__() -> list[str]:
    return __all__
