"""The wall-clock times that a cron matches, in order, on a clock that never changes.

croniter does the arithmetic. It is only ever given plain lists of numbers, so that no
version's own understanding of steps and ranges matters, and only UTC times, which stand for the
wall clock: what a change of clocks does to them is decided in `times`. Days that no plain
list can say (`-2`, `5#-1`, `1%2`, `15W`) are widened to one that contains them, and what
doesn't match is stepped over, whole days at a time.
"""

from __future__ import annotations

from datetime import UTC, datetime, time
from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from croniter import croniter

    from .cron import Cron

# 29 February of a given weekday: 40 years apart across 2100.
_MAX_YEARS_BETWEEN = 50
_ANY_TIME = datetime(2001, 1, 1, tzinfo=UTC)
_MAX_DAYS_STEPPED_OVER = 366 * _MAX_YEARS_BETWEEN


class WallClock:
    """The matching wall-clock times of one cron. Safe from any thread."""

    __slots__ = ("_croniter", "_lock", "cron")

    def __init__(self, cron: Cron) -> None:
        self.cron = cron
        self._croniter: croniter[datetime] | None = None
        self._lock = Lock()

    def after(self, wall: datetime) -> datetime:
        """Return the first match later than `wall`, both naive, in whole seconds.

        Raises:
            OverflowError: when there is none before the year 10000.
        """
        for _ in range(_MAX_DAYS_STEPPED_OVER):
            found = self._step(wall, backwards=False)
            if self.cron.has_plain_days or self.cron.match_day(found.date()):
                return found
            wall = datetime.combine(found.date(), time(23, 59, 59))
        raise OverflowError("no match within 50 years")

    def before(self, wall: datetime) -> datetime:
        """Return the last match earlier than `wall`; otherwise like `after`."""
        for _ in range(_MAX_DAYS_STEPPED_OVER):
            found = self._step(wall, backwards=True)
            if self.cron.has_plain_days or self.cron.match_day(found.date()):
                return found
            wall = datetime.combine(found.date(), time(0))
        raise OverflowError("no match within 50 years")

    def _step(self, wall: datetime, *, backwards: bool) -> datetime:
        with self._lock:
            if self._croniter is None:
                self._croniter = _new_croniter(self.cron)
            # Debian's croniter, 2.0, can be told where to start in no other way.
            self._croniter.set_current(wall.replace(tzinfo=UTC), force=True)
            step = self._croniter.get_prev if backwards else self._croniter.get_next
            try:
                found = step(datetime)
            except ValueError as error:
                raise OverflowError(str(error)) from error
        return found.replace(tzinfo=None, fold=0)  # get_prev sets the fold


def _new_croniter(cron: Cron) -> croniter[datetime]:
    from croniter import croniter  # noqa: PLC0415 - costs 40 ms, which only a next run pays

    fields = (
        cron.seconds.explicit(),
        cron.minutes.explicit(),
        cron.hours.explicit(),
        cron.month_days.widened().explicit() if cron.month_days else "*",
        cron.months.explicit(),
        cron.week_days.widened().explicit() if cron.week_days else "*",
    )
    return croniter(
        " ".join(fields),
        _ANY_TIME,
        ret_type=datetime,
        second_at_beginning=True,
        day_or=not cron.both_days,
        max_years_between_matches=_MAX_YEARS_BETWEEN,
    )
