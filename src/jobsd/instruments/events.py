"""The one list of all that can happen, and the one way to tell it.

Rooms call `emit`; who listens (logs, hooks) subscribes. Without a subscriber, as in a
program that only enqueues, nothing is told: a library is silent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Callable

Level = Literal["debug", "info", "warning", "error"]


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that can happen: its name is a fixed word, never a sentence."""

    name: str
    level: Level
    meaning: str


EVENTS = {
    event.name: event
    for event in (
        Event("supervisor.started", "info", "The supervisor begins to start its processes."),
        Event("supervisor.ready", "info", "All configured processes are up."),
        Event("supervisor.stopping", "info", "The tree drains, or ends at once."),
        Event("supervisor.stopped", "info", "The tree has ended."),
        Event("supervisor.reloaded", "info", "The configuration was read again."),
        Event("supervisor.reload_failed", "error", "The new configuration has faults."),
        Event("supervisor.gap", "warning", "The supervisor itself stood still: judge nobody."),
        Event("supervisor.state", "info", "The state of the tree, asked for with USR2."),
        Event("signal.received", "debug", "A signal was received."),
        Event("process.started", "info", "A process has begun."),
        Event("process.stopped", "info", "A process has ended as it was asked to."),
        Event("process.exited", "warning", "A process has ended, though nobody asked it to."),
        Event("process.replaced", "warning", "A successor was started for a dead process."),
        Event("process.crashed", "error", "A process ends by an error of its own."),
        Event("process.hung", "error", "A process's loop stood still; it is being killed."),
        Event("process.killed", "warning", "A process had to be killed to end."),
        Event("process.pruned", "warning", "A process's heartbeat stood still; it was buried."),
        Event("process.buried", "info", "A dead process's claims and row were cleared up."),
        Event("claims.taken", "warning", "Claims of a process without a row were settled."),
        Event("process.lost_its_row", "warning", "A living process's row was deleted."),
        Event("process.fork_failed", "error", "The system refused a new process."),
        Event("process.unstarted", "error", "No slot is free: deaths wait to be written."),
        Event("process.reaped", "debug", "An orphan that came to us was reaped."),
        Event("database.waiting", "warning", "The database can't be reached at start."),
        Event("database.lost", "warning", "The database can't be reached any more."),
        Event("database.back", "info", "The database is back after an outage."),
        Event(
            "database.behind", "error", "The tables are not there, and we may not make them."
        ),
        Event("database.migrated", "info", "The tables were brought to a newer version."),
        Event("embedded.started", "info", "The embedded PostgreSQL was started."),
        Event("embedded.stopped", "info", "The embedded PostgreSQL was stopped."),
        Event("embedded.waiting", "info", "The embedded PostgreSQL is not ready yet."),
        Event("http.unavailable", "warning", "The tree runs without HTTP."),
        Event("configuration.warning", "warning", "Something in the configuration is odd."),
        Event("jobs.claimed", "debug", "A batch of jobs was claimed."),
        Event("jobs.dispatched", "debug", "Scheduled jobs were made ready."),
        Event("jobs.cleared", "info", "Finished jobs past their time were removed."),
        Event("job.enqueued", "debug", "A job was enqueued."),
        Event("job.started", "debug", "A job begins to run."),
        Event("job.finished", "debug", "A job has succeeded."),
        Event("job.failed", "error", "A job has failed for good."),
        Event("job.retried", "warning", "A job has failed and will be tried again."),
        Event("job.discarded", "info", "A job was dropped, as its definition says."),
        Event("job.snoozed", "debug", "A job has put itself off."),
        Event("job.released", "info", "A claimed job went back to ready."),
        Event(
            "claims.lost", "warning", "Outcomes were not recorded: the claim was taken away."
        ),
        Event("recurring.loaded", "info", "The recurring tasks were read and stored."),
        Event("recurring.enqueued", "info", "A recurring task was enqueued."),
        Event("recurring.skipped", "debug", "A planned run was enqueued by someone else."),
        Event("recurring.missed", "warning", "Planned runs lie in the past and are skipped."),
        Event("recurring.overlapped", "info", "A run was left out: the previous one lives."),
        Event("recurring.failed", "error", "A recurring task could not be enqueued."),
        Event("recurring.conflict", "warning", "Two files name the same recurring task."),
        Event("hook.failed", "error", "A hook has raised; nothing else changes."),
        Event("thread.failed", "error", "An error of our own in a thread."),
        Event("logs.reopened", "info", "The log was opened again."),
        Event("logs.dropped", "warning", "Lines could not be written; now they can be again."),
    )
}

_subscribers: list[Callable[[Event, dict[str, Any]], None]] = []


_LEVELS = ("debug", "info", "warning", "error", "critical")
_told: set[str] = set(_LEVELS)


def listen_from(level: str) -> None:
    """Let only what is at least this grave be told: the rest costs next to nothing."""
    _told.clear()
    _told.update(_LEVELS[_LEVELS.index(level) :])


def tells(level: Level) -> bool:
    """Return whether anybody hears events of this level: for those whose facts are costly."""
    return bool(_subscribers) and level in _told


def emit(name: str, /, **facts: Any) -> None:  # noqa: ANN401 - facts are of any type
    """Tell everybody who listens what has happened.

    Raises:
        KeyError: for a name that is not in the list.
    """
    event = EVENTS[name]
    if event.level not in _told:
        return
    for subscriber in _subscribers:
        subscriber(event, facts)


def subscribe(subscriber: Callable[[Event, dict[str, Any]], None]) -> Callable[[], None]:
    """Call `subscriber(event, facts)` for all that happens; return how to end it."""
    _subscribers.append(subscriber)
    return lambda: _subscribers.remove(subscriber)
