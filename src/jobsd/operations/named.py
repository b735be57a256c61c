"""What one queue, one class or one host does now: its jobs, its errors and its workers."""

from collections.abc import Mapping, Sequence
from typing import Any

from jobsd.acts import inspect, listing
from jobsd.database.connection import Session, Statements
from jobsd.errors import NotFoundError

from . import failures, jobs
from .processes import processes
from .queues import claimers, queue_row
from .shown_arguments import ShownArguments

Row = dict[str, Any]

STATEMENTS = Statements("jobsd.operations", "named.sql")

READY_MAX = 10_000
"""The ready jobs among which those of a class are sought."""
RUNNING_MAX, OLDEST_MAX = 50, 10


def of_queue(
    session: Session, name: str, shown: ShownArguments, threshold_s: float, most: int
) -> Row:
    """Return the figures of a queue, its jobs and errors, and the workers that take it."""
    found = processes(session, threshold_s)
    ids = {
        worker
        for selection, workers in claimers(found).items()
        if selection.matches(name)
        for worker in workers
    }
    return {
        **queue_row(session, name, most),
        **_jobs(session, shown, queue_name=name),
        "workers": [row for row in found if row["id"] in ids],
    }


def of_class(session: Session, name: str, shown: ShownArguments, threshold_s: float) -> Row:
    """Return the jobs and errors of a class, and the living workers that know it."""
    known = session.fetch(STATEMENTS["workers"], {"class_name": name})
    ids = {process_id for process_id, _ in known}
    found = processes(session, threshold_s)
    return {
        "class_name": name,
        **_jobs(session, shown, class_name=name),
        "workers": [row for row in found if row["id"] in ids and row["life"] == "alive"],
    }


def of_host(session: Session, name: str, shown: ShownArguments, threshold_s: float) -> Row:
    """Return the figures of a host, its processes, and the jobs that they run.

    Raises:
        NotFoundError: if no process of this host is registered.
    """
    found = [row for row in processes(session, threshold_s) if row["hostname"] == name]
    if not found:
        raise NotFoundError(f"no process of a host {name!r} is registered")
    (host,) = hosts(found, inspect.claimed(session))
    return {
        **host,
        "running": running(session, listing.Filter("claimed", host=name), shown),
        "processes": found,
    }


def hosts(found: Sequence[Row], claimed: Mapping[int, int]) -> list[Row]:
    """Return a row for each host by its name: its load, its memory and its capacity.

    `capacity` is how many jobs its living workers run at once, `busy` how many of these places
    have a job. Load and memory are unknown until a monitor has written them.
    """
    return [
        _host(name, [row for row in found if row["hostname"] == name], claimed)
        for name in sorted({row["hostname"] for row in found})
    ]


def running(session: Session, meant: listing.Filter, shown: ShownArguments) -> list[Row]:
    """Return the claimed jobs that match, the longest running first."""
    claimed = listing.listed(session, meant, RUNNING_MAX).jobs
    found = jobs.rows(claimed, shown)
    return sorted(found, key=lambda row: (row["started_at"] or row["claimed_at"], row["id"]))


def _host(name: str, found: Sequence[Row], claimed: Mapping[int, int]) -> Row:
    workers = [row for row in found if row["kind"] == "worker" and row["life"] == "alive"]
    places = {row["id"]: int(row["metadata"].get("threads") or 1) for row in workers}
    figures = [row["machine"] for row in found if row["machine"] and row["life"] == "alive"]
    unknown = dict.fromkeys(("load", "cpus", "memory_bytes", "used_bytes"))
    return {
        "hostname": name,
        **(figures[-1] if figures else unknown),
        "busy": sum(min(claimed.get(row_id, 0), count) for row_id, count in places.items()),
        "capacity": sum(places.values()),
        "alive": sum(row["life"] == "alive" for row in found),
    }


def _jobs(
    session: Session,
    shown: ShownArguments,
    *,
    class_name: str | None = None,
    queue_name: str | None = None,
) -> Row:
    given = {"class_name": class_name, "queue_name": queue_name}
    meant = listing.Filter("claimed", queue_name, class_name)
    bounds = {"most": READY_MAX, "limit": OLDEST_MAX}
    names = ("id", "class_name", "queue_name", "priority", "ready_at")
    oldest = session.fetch(STATEMENTS["oldest"], {**given, **bounds})
    return {
        "running": running(session, meant, shown),
        "oldest": [dict(zip(names, row, strict=True)) for row in oldest],
        "failures": failures.groups(session, **given),
        "retrying": failures.retrying(session, **given),
    }
