"""Concludes from the parts of a phrase which crons they mean, or why they mean none.

The rules; `docs/reference/schedules.md` gives their reasons and where the original differs.

1. A count fits its unit: 1 to 60 minutes, 24 hours, 30 days, 12 months. Cron starts anew
   at each hour, day, month and year, so more would silently mean something else.
2. Parts that say the same thing twice contradict each other ("every 5 minutes at minute 7").
3. What is finer than the cadence defaults to its first moment, what is coarser to all:
   "every hour" is minute 0 of all hours, "every month" is the 1st at midnight. Where that
   leaves two readings it is refused ("every day at minute 30": once, or every hour?).
4. A range of hours includes its last hour where there is one run an hour
   (9am to 5pm: 9, …, 17); where there are several, it ends when that hour begins.
5. Times of different minutes are a union of crons.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .cron import Cron, require_possible, uneven_steps
from .error import ScheduleError, quoted
from .fields import LARGER
from .to_cron_days import days_of
from .to_cron_times import times_of

if TYPE_CHECKING:
    from .phrase import Cadence, Phrase

_MOST = {"second": 60, "minute": 60, "hour": 24, "day": 30, "week": 1, "month": 12, "year": 1}
_SIZES = _MOST | {"day": 31}


def crons_of(phrase: Phrase) -> list[Cron]:
    """Return the crons that the parts mean together, one or a union.

    Raises:
        ScheduleError: when they mean nothing, or more than one thing.
    """
    if phrase.cadence:
        _require_count(phrase, phrase.cadence)
    elif not (phrase.names_times or phrase.names_days):
        raise ScheduleError(
            f"{quoted(phrase.text)} says where, not when",
            f'write "every hour in {phrase.zone}"',
        )
    days = days_of(phrase)
    crons = [
        require_possible(
            Cron(seconds, minutes, hours, days.month_days, days.months, days.week_days),
        )
        for seconds, minutes, hours in times_of(phrase)
    ]
    phrase.warnings += uneven_steps(crons[0])
    return crons


def _require_count(phrase: Phrase, cadence: Cadence) -> None:
    if cadence.count < 1:
        raise ScheduleError(
            f"{quoted(phrase.text)} counts in steps of 0",
            f'write "every {cadence.unit}"',
        )
    if cadence.count <= _MOST[cadence.unit]:
        return
    if cadence.unit in {"week", "year"}:
        raise _counted_weeks_or_years(phrase, cadence)
    larger = LARGER[cadence.unit]
    raise ScheduleError(
        f"{quoted(phrase.text)} can't be said in cron: it starts anew with each {larger},"
        f" which has {_SIZES[cadence.unit]} {cadence.unit}s",
        _instead(cadence.count, cadence.unit, larger),
    )


def _counted_weeks_or_years(phrase: Phrase, cadence: Cadence) -> ScheduleError:
    hint = "write one date, which comes every year"
    if cadence.unit == "week":
        hint = f'write the cron "0 0 * * mon%{cadence.count}": Mondays of every so many weeks'
    return ScheduleError(f"{quoted(phrase.text)}: a phrase can't count {cadence.unit}s", hint)


def _instead(count: int, unit: str, larger: str) -> str:
    if unit in {"day", "month"}:
        return f'write "every {larger}", or the dates as a cron'
    interval = f'"every: {count}{unit[0]}" for a true interval'
    if count % _SIZES[unit] == 0:
        return f'write "every {count // _SIZES[unit]} {larger}s", or {interval}'
    return f'write {interval}, or "every {larger}"'
