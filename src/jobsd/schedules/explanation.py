"""Explains a schedule: the cron, the zone and the next runs, or why it is refused."""

from datetime import datetime
from typing import Any

from .error import ScheduleError
from .schedule import parse


def explain(text: str, time_zone: str, n: int, after: datetime) -> dict[str, Any]:
    """Return the schedule's cron, zone and next `n` runs after `after`, or why it is refused.

    `{"accepted": True, "schedule", "cron", "time_zone", "next": [ISO 8601, …]}`, where a
    `cron` of None comes with `"crons"`, and what may surprise with `"warnings"`;
    or `{"accepted": False, "error", "hint"}`.
    """
    try:
        schedule = parse(text, time_zone)
        runs = schedule.upcoming(n, after)
    except ScheduleError as error:
        return {"accepted": False, "error": error.message, "hint": error.hint}
    explained: dict[str, Any] = {
        "accepted": True,
        "schedule": schedule.text,
        "cron": schedule.cron,
        "time_zone": schedule.time_zone,
        "next": [run.astimezone(schedule.zone).isoformat() for run in runs],
    }
    if schedule.cron is None:
        explained["crons"] = list(schedule.crons)
    if schedule.warnings:
        explained["warnings"] = list(schedule.warnings)
    return explained
