"""Hooks, so that one of the trees has the process that calls them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jobsd import on_dispatcher_start, on_event, on_monitor_exit, on_start, on_worker_stop

if TYPE_CHECKING:
    from jobsd import Process

heard = 0


@on_start
@on_dispatcher_start
@on_monitor_exit
@on_worker_stop
def note(_process: Process) -> None:
    """Do next to nothing."""
    global heard  # noqa: PLW0603 - of the process that calls
    heard += 1


@on_event("job.failed", "job.retried", "process.replaced")
def hear(_event: Any, _facts: Any) -> None:
    """Do next to nothing."""
    global heard  # noqa: PLW0603
    heard += 1
