"""Steps a cron expression in the time of a wall clock that never changes, with croniter.

Versions of croniter disagree about steps, ranges and the last days of a month. So croniter gets
plain lists of numbers, a naive time, and at most one of the two day fields, without the 29th to
the 31st; the days that it finds are compared with the cron, and the others are skipped. All
versions since 2.0.7 find the same times so, as a test shows with the oldest and the newest.
"""

from datetime import datetime
from threading import Lock
from typing import TYPE_CHECKING

from .cron_expression import CronExpression
from .error import ScheduleError
from .vocabulary import MONTH_NAMES

if TYPE_CHECKING:
    from croniter import croniter

_LONGEST = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_ANY_TIME = datetime(2001, 1, 1)  # noqa: DTZ001 - of a wall clock
_MAX_YEARS = 50
"""Two matching days lie at most 40 years apart: a 29 February on one weekday, across 2100."""
_MAX_DAYS_SKIPPED = 366 * _MAX_YEARS


def require_possible(cron: CronExpression) -> CronExpression:
    """Return `cron`.

    Raises:
        ScheduleError: when no day ever matches, such as the 30th of February.
    """
    days = cron.month_days
    alone = cron.week_days is None or cron.both_days
    months = sorted(cron.months.values)
    if days and alone and not any(days.can_match(_LONGEST[month - 1]) for month in months):
        named = (
            MONTH_NAMES[months[0] - 1].capitalize() if len(months) == 1 else "any of its months"
        )
        raise ScheduleError(
            f"there is no day {days} in {named}",
            'the last day of a month is "L", or "last day of the month"',
        )
    if cron.both_days or not (cron.week_days is None or cron.week_days.is_plain):
        try:
            WallClock(cron).after(_ANY_TIME)
        except OverflowError as error:
            raise ScheduleError(
                f"no day in {_MAX_YEARS} years matches these day fields together"
            ) from error
    return cron


class WallClock:
    """The matching times of one cron, naive and in whole seconds. Safe from any thread."""

    __slots__ = ("_cron", "_croniter", "_lock")

    def __init__(self, cron: CronExpression) -> None:
        self._cron = cron
        self._croniter: croniter[datetime] | None = None
        self._lock = Lock()

    def after(self, wall: datetime) -> datetime:
        """Return the first match later than `wall`.

        Raises:
            OverflowError: when there is none before the year 10000.
        """
        return self._found(wall, backwards=False)

    def before(self, wall: datetime) -> datetime:
        """Return the last match earlier than `wall`; otherwise like `after`."""
        return self._found(wall, backwards=True)

    def _found(self, wall: datetime, *, backwards: bool) -> datetime:
        with self._lock:
            if self._croniter is None:
                self._croniter = _new_croniter(self._cron)
            step = self._croniter.get_prev if backwards else self._croniter.get_next
            for _ in range(_MAX_DAYS_SKIPPED):
                # `get_prev` of the oldest version has no parameter for the start.
                self._croniter.set_current(wall, force=True)
                try:
                    wall = step(datetime)
                except ValueError as error:
                    raise OverflowError(str(error)) from error
                if self._cron.match_day(wall.date()):
                    return wall
                wall = (
                    wall.replace(hour=0, minute=0, second=0)
                    if backwards
                    else (wall.replace(hour=23, minute=59, second=59))
                )
        raise OverflowError(f"no match within {_MAX_YEARS} years")


def _new_croniter(cron: CronExpression) -> "croniter[datetime]":
    from croniter import croniter  # noqa: PLC0415 - only commands that plan a run need it

    fields = [cron.minutes.explicit(), cron.hours.explicit(), "*", cron.months.explicit(), "*"]
    month_days, week_days = cron.month_days, cron.week_days
    if cron.both_days or not (month_days and week_days):
        if month_days and month_days.has_each_month:
            fields[2] = month_days.plain.explicit()
        elif week_days and week_days.is_plain:
            fields[4] = week_days.plain.explicit()
    if cron.has_seconds:
        fields.append(cron.seconds.explicit())
    return croniter(
        " ".join(fields), 0, ret_type=datetime, max_years_between_matches=_MAX_YEARS
    )
