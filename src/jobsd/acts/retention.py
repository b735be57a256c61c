"""Clears the history: deletes finished jobs by their primary key, from the oldest on.

Ids rise in the order of enqueues, so the oldest jobs come first. Each statement reads the next
few ids, deletes the jobs that are old enough and skips unended ones. The walk ends at the first
batch in which every job is younger than the limit. So no index on `finished_at` is needed,
which every finish would have to maintain.

The skipped jobs are not read again each time. A process remembers the id below which no
finished job is left, and begins there the next time. Once a day it begins at the front, since
some of the skipped jobs have finished meanwhile.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from jobsd import errors
from jobsd.clock import monotonic
from jobsd.database.statements import Statements
from jobsd.enqueueing.on_demand import lent, replaceable
from jobsd.events.events import emit
from jobsd.jobs.registry import check_class, check_count
from jobsd.jobs.time_limits import WAIT_MAX_S, duration_s

if TYPE_CHECKING:
    from jobsd.database.connection import Session


Duration = float | str | timedelta

STATEMENTS = Statements("jobsd.acts", "retention.sql")

BATCH_MAX = 100_000
FULL_WALK_EVERY_S = 86400.0

_REST = 1.5
"""The pause after a batch, as a multiple of its time."""


@dataclass(frozen=True, slots=True)
class Batch:
    """The effect of one statement: jobs deleted, jobs read, and the last id of these."""

    cleared: int
    seen: int
    last_id: int


@dataclass(slots=True)
class _Walk:
    """Where a walk with one limit begins, and when it begins at the front again."""

    after: int
    full_at: float


_COUNTED_AT_ONCE = 50_000
_walks: dict[tuple[str, str, float], _Walk] = {}


def restart() -> None:
    """Let the next walk begin at the front."""
    _walks.clear()


@replaceable
def clear_finished_in_batches(  # noqa: PLR0913 - the options of the original, and a session
    batch_size: int = 500,
    *,
    finished_before: datetime | None = None,
    older_than: Duration | None = None,
    class_name: str | None = None,
    sleep_between_batches: Duration | None = None,
    session: Session | None = None,
) -> int:
    """Delete finished and discarded jobs that are old enough; return how many.

    These are the jobs that ended before `finished_before`, or are `older_than` ("1d"). By
    default it is `clear_finished_jobs_after` in the daemon, and a day elsewhere. Failed jobs
    stay. Each batch is one statement with a commit of its own. After each batch it sleeps
    for `sleep_between_batches`, by default 1.5 times as long as the batch took, so that
    running jobs hardly notice.

    Raises:
        Error: for an invalid option.
    """
    limit = limits(finished_before, older_than)
    pause_s = None
    if sleep_between_batches is not None:
        pause_s = duration_s("sleep_between_batches", sleep_between_batches)
    cleared = 0
    with contextlib.nullcontext(session) if session else _session() as lent:
        for batch in with_rests(batches(lent, batch_size, *limit, class_name), pause_s):
            cleared += batch.cleared
    if cleared:
        emit("jobs.cleared", jobs=cleared, class_name=class_name)
    return cleared


def with_rests(done: Iterator[Batch], pause_s: float | None = None) -> Iterator[Batch]:
    """Rest after each batch that has deleted jobs: as long as given, or relatively."""
    began = monotonic()
    for batch in done:
        took_s = monotonic() - began
        yield batch
        if batch.cleared:
            time.sleep(_REST * took_s if pause_s is None else pause_s)
        began = monotonic()


def batches(
    session: Session,
    batch_size: int = 500,
    finished_before: datetime | None = None,
    older_than_s: float | None = None,
    class_name: str | None = None,
) -> Iterator[Batch]:
    """Clear batch after batch, and yield the effect of each.

    Raises:
        Error: for an invalid size of batches or an invalid name.
    """
    check(batch_size, class_name)
    if older_than_s is None:
        older_than_s = _kept_for_s()
    # A walk for one class skips jobs that other walks must delete.
    walk = _walk(session, older_than_s) if class_name is None else _Walk(0, 0.0)
    parameters = {
        "finished_before": finished_before,
        "older_than_s": older_than_s,
        "class_name": class_name,
        "limit": batch_size,
    }
    after, nothing_young = walk.after, True
    while True:
        row = session.fetch(STATEMENTS["clear"], {**parameters, "after": after})[0]
        cleared, last_id, seen, first_young, goes_on = row
        if not seen:
            return
        yield Batch(cleared, seen, last_id)
        if not goes_on:
            return
        after = last_id
        if nothing_young:
            walk.after = first_young - 1 if first_young else last_id
            nothing_young = first_young is None


def check(batch_size: int, class_name: str | None) -> None:
    """Refuse an invalid size of batches or an invalid name.

    Raises:
        Error: with the reason.
    """
    check_count("batch_size", batch_size, BATCH_MAX)
    if class_name is not None:
        check_class(class_name)


def clearable(session: Session, older_than_s: float, class_name: str | None = None) -> int:
    """Count the jobs that `batches` would delete; changes nothing."""
    parameters = {
        "older_than_s": older_than_s,
        "class_name": class_name,
        "limit": _COUNTED_AT_ONCE,
    }
    found, after, goes_on = 0, 0, True
    while goes_on:
        row = session.fetch(STATEMENTS["clearable"], {**parameters, "after": after})[0]
        count, last_id, seen, goes_on = row
        found += count
        goes_on = goes_on and seen == _COUNTED_AT_ONCE
        after = last_id
    return found


def _kept_for_s() -> float:
    from jobsd.enqueueing import client  # noqa: PLC0415 - it loads the driver

    return client.keep_finished_s()


def _walk(session: Session, older_than_s: float) -> _Walk:
    target = session.target
    key = (target.url, target.schema, older_than_s)
    walk = _walks.get(key)
    if walk is None or monotonic() >= walk.full_at:
        walk = _walks[key] = _Walk(0, monotonic() + FULL_WALK_EVERY_S)
    return walk


def limits(
    finished_before: datetime | None, older_than: Duration | None
) -> tuple[datetime | None, float]:
    """Return the time before which jobs must have ended, or else the age that they must have.

    Raises:
        Error: for an invalid option.
    """
    if finished_before is not None and older_than is not None:
        raise errors.Error("give finished_before or older_than, not both")
    if older_than is not None:
        return None, min(duration_s("older_than", older_than), WAIT_MAX_S)
    if finished_before is None:
        return None, _kept_for_s()
    if not isinstance(finished_before, datetime):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise errors.Error(f"finished_before: {finished_before!r:.60} is not a datetime")
    if finished_before.utcoffset() is None:
        raise errors.Error(f"finished_before: {finished_before} has no time zone")
    return finished_before, _kept_for_s()


def _session() -> contextlib.AbstractContextManager[Session]:
    return lent()
