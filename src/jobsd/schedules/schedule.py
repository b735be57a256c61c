"""A schedule: its text, the cron expressions that it means, and when it runs.

`explain` returns these facts of a text, or the reason for its refusal.
"""

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Any, Protocol

from jobsd import clock

from . import cron_parser, next_run, phrase_compiler, phrase_parser, time_zones
from .cron_expression import CronExpression, uneven_steps
from .error import ScheduleError, quoted

_MAX_LENGTH = 1024
_ZONE_PREFIX = re.compile(r"(?:CRON_)?TZ=(\S+)\s+(?=\S)", re.IGNORECASE)
_INTERVAL = re.compile(r"every\s*:\s*(.+)", re.IGNORECASE)
_SHORTEST_INTERVAL = timedelta(seconds=1)
_LONGEST_INTERVAL = timedelta(days=366)


class _Runs(Protocol):
    def after(self, instant: datetime) -> datetime: ...

    def at_or_before(self, instant: datetime) -> datetime: ...


@dataclass(frozen=True, slots=True)
class Schedule:
    """When a task runs; made by `parse` and `parse_every`.

    `crons` has one cron, several for a union, none for an interval. `interval_s` is the
    interval in seconds. `warnings` are sentences about surprising readings.
    """

    text: str
    crons: tuple[str, ...]
    time_zone: str
    interval_s: float | None = None
    warnings: tuple[str, ...] = ()
    zone: tzinfo = field(default=UTC, compare=False, repr=False)
    _runs: tuple[_Runs, ...] = field(default=(), compare=False, repr=False)

    @property
    def cron(self) -> str | None:
        """The cron, or None for an interval or a union."""
        return self.crons[0] if len(self.crons) == 1 else None

    def next_after(self, instant: datetime) -> datetime:
        """Return the first run later than `instant`, which is aware; in UTC.

        Raises:
            ScheduleError: when there is none before the end of the year 9998.
        """
        _require_aware(instant)
        try:
            return min(runs.after(instant) for runs in self._runs)
        except OverflowError as error:
            raise ScheduleError(f"{quoted(self.text)} does not run after {instant}") from error

    def previous_at_or_before(self, instant: datetime) -> datetime:
        """Return the last run not later than `instant`; otherwise like `next_after`."""
        _require_aware(instant)
        try:
            return max(runs.at_or_before(instant) for runs in self._runs)
        except OverflowError as error:
            raise ScheduleError(f"{quoted(self.text)} does not run before {instant}") from error

    def upcoming(self, n: int, after: datetime) -> list[datetime]:
        """Return the first `n` runs later than `after`, in UTC."""
        runs: list[datetime] = []
        for _ in range(n):
            runs.append(self.next_after(runs[-1] if runs else after))
        return runs


def parse(text: str, time_zone: str = "UTC", *, key: str = "") -> Schedule:
    """Return the schedule that a cron expression, an `@name` or a phrase stands for.

    `time_zone` is the zone of a text without one. `key` is the task's, by which `H` and `~`
    choose their moment; without one they choose it by the text.

    Raises:
        ScheduleError: for an invalid text or time zone.
    """
    if not isinstance(text, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ScheduleError(f"{quoted(repr(text))} is not a schedule", "write it in quotes")
    return _parse(text, time_zone, key)


def parse_every(value: object) -> Schedule:
    """Return the schedule that runs every so often: `90m`, a number of seconds, a `timedelta`.

    The runs are counted from the Unix epoch, so that no restart shifts them.

    Raises:
        ScheduleError: when `value` is no duration between one second and 366 days.
    """
    try:
        interval = timedelta(seconds=clock.parse_duration(value))
    except (ValueError, OverflowError) as error:
        raise ScheduleError(
            f"{quoted(str(value))} is not an interval",
            "write a number with one of the units ms, s, m, h, d: 90m, or 1h30m",
        ) from error
    if not _SHORTEST_INTERVAL <= interval <= _LONGEST_INTERVAL:
        raise ScheduleError(
            f"an interval of {quoted(str(value))} is out of bounds",
            "an interval lasts from one second to 366 days",
        )
    return Schedule(
        text=f"every: {value}",
        crons=(),
        time_zone="UTC",
        interval_s=interval.total_seconds(),
        _runs=(next_run.IntervalRuns(interval),),
    )


def _require_aware(instant: datetime) -> None:
    if instant.tzinfo is None:
        raise ValueError(f"{instant} has no time zone; expected an aware datetime")


@lru_cache(maxsize=4096)
def _parse(text: str, time_zone: str, key: str) -> Schedule:
    if len(text) > _MAX_LENGTH:
        raise ScheduleError(
            f"a schedule has at most {_MAX_LENGTH} characters; this one has {len(text)}",
            'write ranges and steps: "*/5" instead of a long list',
        )
    if interval := _INTERVAL.fullmatch(text.strip()):
        return parse_every(interval[1])
    crons, zone_name, warnings = _parse_text(text, key or text)
    name, zone = time_zones.require_zone(zone_name or time_zone)
    return Schedule(
        text=text,
        crons=tuple(str(cron) for cron in crons),
        time_zone=name,
        warnings=tuple(warnings),
        zone=zone,
        _runs=tuple(next_run.CronRuns(cron, zone) for cron in crons),
    )


def _parse_text(text: str, key: str) -> tuple[list[CronExpression], str, list[str]]:
    stripped = text.strip()
    prefix = _ZONE_PREFIX.match(stripped)
    rest = stripped[prefix.end() :] if prefix else stripped
    try:
        if cron_parser.is_cron_expression(rest):
            cron, zone = cron_parser.parse_cron_expression(rest, key)
            crons, warnings = [cron], uneven_steps(cron)
        else:
            phrase = phrase_parser.parse_phrase(rest)
            crons, zone = phrase_compiler.crons_of(phrase), phrase.zone
            warnings = phrase.warnings
    except ScheduleError as error:
        from .hints import hint_for  # noqa: PLC0415 - only needed to be helpful

        raise ScheduleError(error.message, error.hint or hint_for(rest)) from error
    if prefix and zone:
        raise ScheduleError(f"{quoted(text)} names two time zones", "leave one of them out")
    return crons, prefix[1] if prefix else zone, warnings


def explain(text: str, time_zone: str, n: int, after: datetime) -> dict[str, Any]:
    """Return the cron, zone and next `n` runs after `after` of a text, or why it is refused.

    `{"accepted": True, "schedule", "cron", "time_zone", "next": [ISO 8601, …]}`, where a
    `cron` of None comes with `"crons"`, and a surprising reading with `"warnings"`;
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
