"""Finds queues from which no worker takes, and rows that are never deleted.

Jobs wait without end in a queue without a worker; finished jobs without a task that clears
them, and rows without a dispatcher that does, stay for ever. A task of the user's own may clear
them under another name, and so may cron, or another host: the warnings leave that open.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from jobsd import jobs, operations, recurring
from jobsd.configuration.options import Options
from jobsd.jobs.selection import Selection

if TYPE_CHECKING:
    from jobsd.database.connection import Session

CLEARING_COMMAND = "`command: jobsd.clear_finished_in_batches()`"
_NAMED_MAX = 5


def unserved_queues(options: Options) -> Iterator[str]:
    """Yield a warning for each queue of a recurring task that no worker here takes from.

    The jobs must be known: a task goes to the queue of its job unless it names another. A tree
    without a scheduler, or without workers, has them on other hosts.
    """
    workers = [Selection(each.queues) for each in options.workers if each.processes]
    if not workers or not options.schedules or "worker" not in options.only:
        return
    keys: defaultdict[str, list[str]] = defaultdict(list)
    for task in options.tasks:
        if task.enabled and (queue := _queue_of(task)):
            keys[queue].append(task.key)
    for queue in _unserved(keys, workers):
        yield f"no worker here takes jobs from queue {queue!r}, that of {some(keys[queue])}"


def kept_history(options: Options) -> Iterator[str]:
    """Yield a warning if finished jobs are kept, and no task of the file clears them.

    A tree that reads no tasks has them on other hosts.
    """
    if not options.jobs.preserve_finished_jobs or options.skip_recurring:
        return
    if not clearing_tasks(options.tasks):
        yield (
            "finished jobs are never deleted: no task of the file clears them (with"
            f" {CLEARING_COMMAND}); a task that was added at run time, or of another host, may"
        )


def kept_rows(options: Options) -> Iterator[str]:
    """Yield a warning if dispatchers run here, and none deletes outdated rows."""
    if options.dispatchers and not any(
        each.concurrency_maintenance for each in options.dispatchers
    ):
        yield (
            "results, keys of limits and of unique jobs, expirations and notes of waits are"
            " never deleted: no dispatcher has concurrency_maintenance; one of another host may"
        )


def clearing_tasks(named: Iterable[recurring.definition.TaskDefinition]) -> list[str]:
    """Return the keys of the enabled tasks that clear finished jobs."""
    return sorted(
        {
            task.key
            for task in named
            if task.enabled and recurring.command.clears_history(task.command)
        }
    )


def waiting(session: Session, threshold_s: float) -> list[str]:
    """Return the queues with ready jobs, or named by tasks, that no live worker takes from."""
    from jobsd.processes import registry as processes
    from jobsd.states import parked, ready

    workers = [
        operations.why.selection(row)
        for row in processes.processes(session)
        if row.kind == "worker" and operations.processes.life(row, threshold_s) == "alive"
    ]
    named = {task.queue_name for task in recurring.tasks.load(session) if task.enabled}
    by_class = parked.waiting(session)
    return _unserved({*ready.survey(session).names, *by_class, *filter(None, named)}, workers)


def is_unknown_queue(session: Session, options: Options, name: str) -> bool:
    """Return whether no configuration names a queue, `*` apart, and it had no jobs lately."""
    from jobsd.acts import queues
    from jobsd.jobs import job_options
    from jobsd.processes import registry as processes

    rows = [row for row in processes.processes(session) if row.kind == "worker"]
    chosen = [each.queues for each in options.workers]
    chosen += [operations.why.selection(row).patterns for row in rows]
    named = {pattern for patterns in chosen for pattern in patterns} - {"*"}
    named |= {
        job_options.DEFAULT_QUEUE,
        *(task.queue_name or "" for task in recurring.tasks.load(session)),
    }
    known = Selection(tuple(named)).matches(name)
    return not (known or queues.is_known(name, session=session))


def some(names: list[str]) -> str:
    """Return the first few of these names."""
    more = len(names) - _NAMED_MAX
    return ", ".join([*names[:_NAMED_MAX], *([f"and {more} more"] if more > 0 else [])])


def _queue_of(task: recurring.definition.TaskDefinition) -> str | None:
    definition = jobs.registry.find(task.class_name or "")
    return task.queue_name or (definition.queue if definition else None)


def _unserved(queues: Iterable[str], workers: list[Selection]) -> list[str]:
    return [name for name in sorted(queues) if not any(each.matches(name) for each in workers)]
