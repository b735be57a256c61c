"""Computes the next runs of recurring tasks, and again once that time has come."""

from datetime import datetime

from jobsd.clock import utc_now
from jobsd.schedules import ScheduleError, parse

KEPT_MAX = 20_000

_known: dict[tuple[str, str, str], datetime | None] = {}


def next_run(key: str, schedule: str, time_zone: str) -> float | None:
    """Return the next run of a task in seconds since the epoch, or None if it never runs."""
    now = utc_now()
    plan = key, schedule, time_zone
    following = _known.get(plan, now)
    if following is not None and following <= now:
        if len(_known) >= KEPT_MAX:
            _known.clear()
        following = _known[plan] = _next(*plan, now)
    return None if following is None else following.timestamp()


def _next(key: str, schedule: str, time_zone: str, now: datetime) -> datetime | None:
    try:
        return next(iter(parse(schedule, time_zone, key=key).upcoming(1, after=now)))
    except ScheduleError:
        return None
