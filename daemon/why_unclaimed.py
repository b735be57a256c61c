"""Why no worker has claimed a job: its queue, what comes before it, and who is busy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobsd.jobs import inspect, lanes, queues, ready

from .output import counted, when
from .reason import Reason, selection

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobsd.jobs.ready import Selection
    from jobsd.processes.registry import ProcessRow

    from .reason import Sight


def queue(seen: Sight) -> Iterator[Reason]:
    """Tell what keeps all jobs of its queue from being claimed."""
    for pause in queues.paused(session=seen.session):
        if pause.queue_name == seen.queue:
            said = f": {pause.reason}" if pause.reason else ""
            yield Reason(
                "paused",
                f"queue {seen.queue!r} was paused {when(pause.created_at)} by"
                f" {pause.created_by or 'somebody'}{said}",
                {
                    "queue_name": seen.queue,
                    "by": pause.created_by,
                    "since": pause.created_at,
                    "because": pause.reason,
                },
            )
    if not seen.workers:
        told = f"no worker runs that takes from queue {seen.queue!r}"
        yield Reason("no_worker", told, {"queue_name": seen.queue})
    yield from _unknown(seen)


def _unknown(seen: Sight) -> Iterator[Reason]:
    """Tell when no worker that takes from its queue has imported its class."""
    ids = {worker.id for worker in seen.workers}
    name = seen.found.job.class_name
    found = lanes.knowers(seen.session, name, seen.queue, ids)
    # Of one that publishes nothing, of a version before, nothing is known.
    if not ids or found.knowing or not found.published >= ids:
        return
    since = found.unknown_since
    seen_since = f", as was seen {when(since)}" if since else ""
    yield Reason(
        "unknown_class",
        f"no worker that takes from queue {seen.queue!r} knows the class {name!r}{seen_since}:"
        " it waits for one that does, for as long as `jobs.unknown_class_after` says",
        {"class_name": name, "queue_name": seen.queue, "since": since},
    )


def in_line(seen: Sight) -> Iterator[Reason]:
    """Tell what comes before a ready job."""
    if ahead := inspect.ahead(seen.session, seen.found):
        come = "comes" if ahead == 1 else "come"
        yield Reason(
            "behind",
            f"{counted(ahead, 'job')} of queue {seen.queue!r} {come} before it",
            {"queue_name": seen.queue, "jobs": ahead},
        )
    if others := _elsewhere(seen):
        told = f"every worker takes {counted(others, 'job')} of other queues first"
        yield Reason("behind_others", told, {"jobs": others})
    workers = seen.workers
    claimed = inspect.claimed(seen.session)
    taken = {row.id: claimed.get(row.id, 0) for row in workers}
    if workers and all(taken[row.id] >= _threads(row) for row in workers):
        threads = sum(map(_threads, workers))
        yield Reason(
            "busy",
            f"all {threads} threads that would take it have jobs"
            if threads > 1
            else "the only thread that would take it has a job",
            {"workers": len(workers), "threads": threads, "claimed": sum(taken.values())},
        )


def _elsewhere(seen: Sight) -> int:
    """Return how many jobs of other queues come first, for the worker that has the fewest."""
    selections = {selection(worker) for worker in seen.workers}
    counts = [
        inspect.elsewhere(seen.session, seen.found, _before(seen, each)) for each in selections
    ]
    return min(counts, default=0)


def _before(seen: Sight, selected: Selection) -> list[str] | None:
    if selected.everything:
        return None
    known = selected.resolve(ready.survey(seen.session).names)
    return known[: known.index(seen.queue)] if seen.queue in known else known


def _threads(row: ProcessRow) -> int:
    threads = row.metadata.get("threads")
    return threads if isinstance(threads, int) else 1
