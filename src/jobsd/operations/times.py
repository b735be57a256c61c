"""The grammar of a time, a range of times or a length of time.

Searches, options and addresses take a time or a range, which is

- an age: `90s`, `2h`, `1h30m` ago;
- a time of day, `03:00`: the last one past; `today` or `yesterday` with or without one;
- an instant of ISO 8601: `2026-01-31`, `2026-01-31T12:00+01:00`;
- a range of two of them, `A..B`, from A until just before B. One of them may be missing. A time
  of day at its end is the first one after A: `yesterday 23:00..01:00` is two hours long.

Times without a zone are in UTC, as on all pages. A length of time has one bound or two: `>10s`,
`<1m`, `10s..1m`.
"""

import contextlib
import re
from datetime import UTC, datetime, time, timedelta, tzinfo

from jobsd import clock, errors
from jobsd.acts.periods import Lasting, Moment, Period, age

_DAY = timedelta(days=1)
_ON_DAY = re.compile(r"(?:(today|yesterday)(?:[ T]+|$))?(\d\d:\d\d\S*)?")
_EXPECTED = (
    "write how long ago (90s, 2h, 3d), a time (03:00, yesterday 03:00, 2026-01-31T12:00;"
    " in UTC unless it has a zone), or a range of both (3h..1h, 03:00..03:05)"
)


def read_period(text: str, *, until: bool = False, now: datetime | None = None) -> Period:
    """Return the period that a text means: a range, or the time since or `until` a moment.

    Raises:
        Error: if the text is neither, or a range that ends before it begins.
    """
    now = now or clock.utc_now()
    begin, dots, end = map(str.strip, text.partition(".."))
    if not dots:
        moment = _moment(text.strip(), now)
        return Period(until=moment) if until else Period(moment)
    if not begin and not end:
        raise errors.Error(f"{text!r} is not a range: it has no beginning and no end")
    since = _moment(begin, now) if begin else None
    begins = Period(since).at(now).since
    period = Period(since, _moment(end, now, begins) if end else None)
    ends = period.at(now).until
    if begins and ends and ends <= begins:
        raise errors.Error(f"{text!r} is not a range: it ends before it begins")
    return period


def read_length(text: str) -> Lasting:
    """Return the lengths of time that a text means: `>10s`, `<1m`, or `10s..1m`.

    Raises:
        Error: if the text is none of them.
    """
    side, begin, end = text[:1], *map(str.strip, text.partition("..")[::2])
    try:
        if side in {"<", ">"}:
            seconds = clock.parse_duration(text[1:].strip())
            return Lasting(least_s=seconds) if side == ">" else Lasting(most_s=seconds)
        found = Lasting(clock.parse_duration(begin), clock.parse_duration(end))
    except ValueError:
        raise errors.Error(
            f"{text!r} is not a length of time; write >10s, <1m or 10s..1m"
        ) from None
    if found.most_s < found.least_s:
        raise errors.Error(f"{text!r} is not a range: its end is less than its beginning")
    return found


def period_text(period: Period) -> str:
    """Return a text that means this period, the shortest one for ages and whole minutes."""
    since, until = map(_text, period)
    return f"{since}..{until}" if until else since


def _moment(text: str, now: datetime, after: datetime | None = None) -> Moment:
    with contextlib.suppress(ValueError):
        return age(clock.parse_duration(text))
    try:
        given = _ON_DAY.fullmatch(text)
        if given and text:
            return _of_day(given[1], time.fromisoformat(given[2] or "00:00"), now, after)
        return _in_utc(datetime.fromisoformat(text))
    except (ValueError, OverflowError):
        raise errors.Error(f"{text!r} is not a time; {_EXPECTED}") from None


def _of_day(day: str | None, at: time, now: datetime, after: datetime | None) -> datetime:
    """Return the time on a day; without one the first time `after`, or the last one past."""
    zone = at.tzinfo or UTC
    if day is not None:
        return _on(now - _DAY if day == "yesterday" else now, at, zone)
    if after is not None:
        found = _on(after, at, zone)
        return found if found > after else found + _DAY
    found = _on(now, at, zone)
    return found if found <= now else found - _DAY


def _on(moment: datetime, at: time, zone: tzinfo) -> datetime:
    day = moment.astimezone(zone).date()
    return _in_utc(datetime.combine(day, at.replace(tzinfo=zone)))


def _in_utc(moment: datetime) -> datetime:
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)


def _text(moment: Moment | None) -> str:
    if moment is None:
        return ""
    if isinstance(moment, timedelta):
        return _age(moment)
    whole = not moment.second and not moment.microsecond
    utc = _in_utc(moment).replace(tzinfo=None)
    return f"{utc.isoformat(timespec='minutes' if whole else 'auto')}Z"


def _age(age: timedelta) -> str:
    seconds = age.total_seconds()
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds and seconds % size == 0:
            return f"{seconds / size:.0f}{unit}"
    return f"{seconds:g}s"
