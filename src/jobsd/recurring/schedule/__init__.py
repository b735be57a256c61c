"""Schedules: cron lines, phrases and intervals, and the instants at which they run.

`parse` reads what people write, `parse_every` a true interval; both give a `Schedule` or
raise `ScheduleError`. Nothing here knows a database, a task or the present time.
"""

from __future__ import annotations

from .error import ScheduleError
from .explain import explain
from .schedule import Schedule, parse, parse_every

__all__ = ["Schedule", "ScheduleError", "explain", "parse", "parse_every"]
