"""Parses a cron expression: its fields into sets of values, and the zone after them.

    cron    := field field field field field [ field ] [ zone ]      five, or seconds first
             | name [ zone ]                                    such as "@hourly", see _NAMED
    field   := part { "," part } [ "&" ]            "&" after one of the two day fields
    part    := range [ "/" step ] | "/" step | day-part | weekday-part
    range   := "*" | "?" | value [ "-" value ] | [ value ] "~" [ value ] | "H" [ "(" value "-" value ")" ]
    value   := number | the name of a month or weekday, whole or its first three letters
    day-part     := "L" | "last" | "-" n [ "-" ( "L" | "-" n ) ] | value "-" "L" | n "W"
    weekday-part := weekday "#" ( n | "-" n | "L" | "last" ) | weekday "L" | "L" weekday
                  | weekday "%" n [ "+" n ]

A range with its end before its start wraps around (`fri-mon`, `22-2`); hour 24 is hour 0
of the same day, as in the original; a step beyond the field's size leaves its first value.
"""  # noqa: E501 - a grammar reads best with one rule a line

import re
from dataclasses import dataclass
from zlib import crc32

from . import cron_expression as cron
from .cron_expression import DAY, HOUR, MINUTE, MONTH, SECOND, WEEKDAY, CronExpression
from .error import ScheduleError, quoted
from .vocabulary import MONTHS, WEEKDAYS
from .wall_clock import require_possible

_NAMED = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@noon": "0 12 * * *",
    "@hourly": "0 * * * *",
}
_SHAPE = (
    "a cron has five fields: minute hour day-of-month month day-of-week; or six, seconds first"
)
_SIGNS = r"[\d*/,~#%&?+()-]"
_TIME_FIELD = re.compile(rf"(?:{_SIGNS}|h)+", re.ASCII | re.IGNORECASE)
_NAMES = "|".join(sorted([*MONTHS, *WEEKDAYS, "last", "l", "w", "h"], key=len, reverse=True))
_FIELD = re.compile(rf"(?:{_SIGNS}|{_NAMES})+", re.ASCII | re.IGNORECASE)
_OFFSET = re.compile(r"[+-]\d\d:?(?:\d\d)?", re.ASCII)
_YEAR = re.compile(r"(?:19|2\d)\d\d(?:[-/].*)?", re.ASCII)

_PART = re.compile(
    r"(?:(?P<star>[*?])"
    r"|(?P<hash>h)(?:\((?P<hash_low>\w+)-(?P<hash_high>\w+)\))?"
    r"|(?P<tilde_low>\w+)?~(?P<tilde_high>\w+)?"
    r"|(?P<low>\w+)(?:-(?P<high>\w+))?"
    r"|(?=/))"
    r"(?:/(?P<step>\d{1,4}))?",
    re.ASCII | re.IGNORECASE,
)
_FROM_LAST = re.compile(r"(?:l|last|-(\d\d?))", re.ASCII)
_FROM_LAST_RANGE = re.compile(r"-(\d\d?)-(?:l|last|-(\d\d?))", re.ASCII)
_TO_LAST = re.compile(r"(\d\d?)-(?:l|last)", re.ASCII)
_NEAREST_WEEKDAY = re.compile(r"(\d\d?)w", re.ASCII)
_NTH = re.compile(r"([a-z]+|\d)#(?:(-?[1-5])|l|last)", re.ASCII)
_LAST_WEEKDAY = re.compile(r"([a-z]{3}|\d)l|l([a-z]{3}|\d)", re.ASCII)
_OF_WEEKS = re.compile(r"([a-z]+|\d)%(\d{1,3})(?:\+(\d{1,3}))?", re.ASCII)
_LARGEST_STEP = 99
_ALLOWED = {MONTH: "1-12 or jan-dec", WEEKDAY: "0-7 or sun-sat"}
# Jenkins' rule: a day that every month has.
_DAYS_OF_EVERY_MONTH = 28


def is_cron_expression(text: str) -> bool:
    """Return whether `text` is a cron expression, valid or not, rather than a phrase."""
    if "*" in text or text.lstrip().startswith("@"):
        return True
    words = text.split()
    return (
        len(words) >= 5
        and all(_TIME_FIELD.fullmatch(word) for word in words[:2])
        and all(_FIELD.fullmatch(word) for word in words[2:5])
    )


def parse_cron_expression(text: str, key: str) -> tuple[CronExpression, str]:
    """Return the cron and the name of its zone, or "" without a zone.

    Raises:
        ScheduleError: when `text` is no cron expression, or never runs.
    """
    words = text.split()
    if words[0].startswith("@"):
        words[:1] = _named(words[0]).split()
    zone = words.pop() if len(words) > 5 and _is_zone(words[-1]) else ""
    if len(words) > 5 and _YEAR.fullmatch(words[-1]):
        raise ScheduleError(f"{quoted(text)} names a year", "a cron has no field for years")
    if len(words) not in {5, 6}:
        raise ScheduleError(f"{quoted(text)} has {len(words)} fields", _SHAPE)
    return _parse_fields(words, key), zone


def _named(word: str) -> str:
    if named := _NAMED.get(word.lower()):
        return named
    if word.lower() == "@reboot":
        raise ScheduleError(
            '"@reboot" is not a time', 'write "run_at_start: true" beside a schedule'
        )
    raise ScheduleError(f"there is no {quoted(word)}", "the names are " + ", ".join(_NAMED))


def _is_zone(word: str) -> bool:
    return bool(_OFFSET.fullmatch(word)) or not (
        _FIELD.fullmatch(word) or _YEAR.fullmatch(word)
    )


def _parse_fields(fields: list[str], key: str) -> CronExpression:
    """Return the cron expression of five or six field texts; `key` decides `H` and `~`."""
    second, minute, hour, day, month, weekday = ["0", *fields] if len(fields) == 5 else fields
    both_days = "&" in day + weekday
    month_days = _month_days(_FieldText(DAY, day.replace("&", "", 1), key))
    week_days = _week_days(_FieldText(WEEKDAY, weekday.replace("&", "", 1), key))
    if week_days and len(week_days.plain.values) == WEEKDAY.size:
        # Every weekday, listed: one of two day fields is enough, so every day matches.
        week_days = None
        month_days = month_days if both_days else None
    return require_possible(
        CronExpression(
            seconds=_FieldText(SECOND, second, key).parse(),
            minutes=_FieldText(MINUTE, minute, key).parse(),
            hours=_FieldText(HOUR, hour, key).parse(),
            month_days=month_days,
            months=_FieldText(MONTH, month, key).parse(),
            week_days=week_days,
            both_days=both_days and month_days is not None and week_days is not None,
        )
    )


@dataclass(frozen=True, slots=True)
class _FieldText:
    """One field as it is written, and the key that chooses the moments of `H` and `~`."""

    span: cron.Span
    text: str
    key: str

    def parts(self) -> list[str]:
        parts = [part for part in self.text.lower().split(",") if part]
        if not parts:
            raise ScheduleError(f"the field of the {self.span.name} is empty")
        return parts

    def parse(self) -> cron.Field:
        parts = self.parts()
        if len(parts) == 1:
            return self.part(parts[0])
        return cron.only(
            self.span, [value for part in parts for value in self.part(part).values]
        )

    def part(self, part: str) -> cron.Field:
        found = _PART.fullmatch(part)
        if not found:
            raise self.wrong(part)
        step = self.step(found["step"])
        if found["hash"] or "~" in part:
            ends = (
                found["hash_low"] or found["tilde_low"],
                found["hash_high"] or found["tilde_high"],
            )
            return cron.only(self.span, self.hashed(*ends, step))
        if found["low"]:
            return cron.only(self.span, self.range(found["low"], found["high"], step))
        if found["star"] == "?" and self.span not in {DAY, WEEKDAY}:
            raise self.wrong(part)
        return cron.every(self.span, step) if step else cron.full(self.span)

    def range(self, low: str, high: str | None, step: int | None) -> list[int]:
        start = self.value(low)
        end = start if step is None else self.span.high
        if high is not None:
            end = self.value(high)
        return self.span.wrapped(start, end)[:: step or 1]

    def hashed(self, low: str | None, high: str | None, step: int | None) -> list[int]:
        last = _DAYS_OF_EVERY_MONTH if self.span is DAY else self.span.high
        values = self.span.wrapped(
            self.value(low) if low else self.span.low, self.value(high) if high else last
        )
        width = min(step or len(values), len(values))
        start = _spread(self.key, self.span.name, width)
        return values[start::step] if step else [values[start]]

    def step(self, text: str | None) -> int | None:
        if text is None:
            return None
        if int(text) > _LARGEST_STEP:
            raise ScheduleError(
                f"a step of {text} {self.span.name}s is more than there are",
                'write "every: 100m" for a true interval',
            )
        if int(text) == 0:
            raise ScheduleError(
                f"the step of the {self.span.name} field is 0",
                "a step is 1 or more: */5 is every fifth",
            )
        return int(text)

    def value(self, text: str) -> int:
        if text.isdecimal() and len(text) <= 2:
            number = int(text)
            high = {HOUR: 24, WEEKDAY: 7}.get(self.span, self.span.high)
            if self.span.low <= number <= high:
                return number
        names = {MONTH: MONTHS, WEEKDAY: WEEKDAYS}.get(self.span, {})
        if text in names:
            return names[text]
        raise self.wrong(text)

    def day(self, text: str, part: str) -> int:
        if not DAY.low <= int(text) <= DAY.high:
            raise self.wrong(part)
        return int(text)

    def wrong(self, part: str) -> ScheduleError:
        allowed = _ALLOWED.get(self.span, f"{self.span.low}-{self.span.high}")
        if part.removeprefix("-").isdecimal():
            return ScheduleError(f"{self.span.name} {part:.20} is out of range ({allowed})")
        return ScheduleError(f"{quoted(part)} is not a valid {self.span.name} ({allowed})")


def _month_days(field: _FieldText) -> cron.MonthDays | None:
    plain: set[int] = set()
    from_last: set[int] = set()
    nearest: set[int] = set()
    parts = field.parts()
    for part in parts:
        if counted := _FROM_LAST.fullmatch(part):
            from_last.add(field.day(counted[1] or "1", part))
        elif counted := _FROM_LAST_RANGE.fullmatch(part):
            first, last = field.day(counted[1], part), field.day(counted[2] or "1", part)
            if first < last:
                raise field.wrong(part)
            from_last |= set(range(last, first + 1))
        elif counted := _TO_LAST.fullmatch(part):
            plain |= set(range(field.day(counted[1], part), DAY.high + 1))
        elif counted := _NEAREST_WEEKDAY.fullmatch(part):
            nearest.add(field.day(counted[1], part))
        else:
            values = field.part(part)
            if values.is_full:
                return None
            if len(parts) == 1:
                return cron.MonthDays(values)
            plain |= values.values
    if len(plain) == DAY.size:
        return None
    return cron.MonthDays(cron.only(DAY, plain), frozenset(from_last), frozenset(nearest))


def _week_days(field: _FieldText) -> cron.WeekDays | None:
    plain: set[int] = set()
    nth: set[tuple[int, int]] = set()
    of_weeks: set[tuple[int, int, int]] = set()
    for part in field.parts():
        if part in {"*", "?"}:
            return None
        if counted := _NTH.fullmatch(part):
            nth.add((field.value(counted[1]) % 7, int(counted[2] or -1)))
        elif counted := _LAST_WEEKDAY.fullmatch(part):
            nth.add((field.value(counted[1] or counted[2]) % 7, -1))
        elif counted := _OF_WEEKS.fullmatch(part):
            of_weeks.add(_weeks(field, *counted.groups(default="0")))
        else:
            _require_whole_step(part)
            plain |= field.part(part).values
    return cron.WeekDays(cron.only(WEEKDAY, plain), frozenset(nth), frozenset(of_weeks))


def _weeks(field: _FieldText, weekday: str, nth: str, offset: str) -> tuple[int, int, int]:
    weeks = int(nth)
    if weeks == 0:
        raise ScheduleError("every 0th week is no week", "%2 is every other week")
    return field.value(weekday) % 7, weeks, int(offset) % weeks


def _require_whole_step(part: str) -> None:
    """Refuse `3/2`: the original takes it for Wednesday alone, croniter for Wed and Fri."""
    start, slash, step = part.partition("/")
    if slash and start.isalnum() and start != "h":
        raise ScheduleError(
            f"a step after a single weekday, {quoted(part)}, is ambiguous",
            f'write the range that is meant: "{start}-sat/{step}", or list the days',
        )


def _spread(key: str, field_name: str, count: int) -> int:
    """Return a number below `count` that depends only on the task's key and the field.

    It stands in for chance: `H` and `~` choose a moment by this hash. A random moment would
    differ between hosts and move at each restart; every scheduler computes the same hash.
    """
    return crc32(f"{field_name}\0{key}".encode("utf-8", "surrogatepass")) % count
