"""A parsed phrase: its parts, before `phrase_compiler` combines them."""

from dataclasses import dataclass, field
from typing import NamedTuple

from .error import ScheduleError, refusal


class Clock(NamedTuple):
    """A time of day; `plain` when it is written without am, pm or minutes, and below 13."""

    hour: int
    minute: int
    plain: bool = False


@dataclass(frozen=True, slots=True)
class Cadence:
    """A number of units from one run to the next, perhaps with the first one."""

    count: int
    unit: str
    first: int | None = None


@dataclass(slots=True)
class Phrase:
    """The parts of one phrase; a part that the phrase does not have is empty."""

    text: str
    has_every: bool = False
    every_weekdays: bool = False
    cadence: Cadence | None = None
    times: list[Clock] = field(default_factory=list[Clock])
    hour_ranges: list[tuple[Clock, Clock]] = field(default_factory=list[tuple[Clock, Clock]])
    seconds: set[int] = field(default_factory=set[int])
    minutes: set[int] = field(default_factory=set[int])
    hours: set[int] = field(default_factory=set[int])
    on_the: str = ""
    weekdays: set[int] = field(default_factory=set[int])
    nth_weekdays: set[tuple[int, int]] = field(default_factory=set[tuple[int, int]])
    month_days: set[int] = field(default_factory=set[int])
    last_day: bool = False
    day_range: tuple[int, int] | None = None
    months: set[int] = field(default_factory=set[int])
    days_joined: bool = False
    zone: str = ""
    warnings: list[str] = field(default_factory=list[str])

    @property
    def names_times(self) -> bool:
        """Whether the phrase names a time of day."""
        numbers = self.hours or self.minutes or self.seconds
        return bool(self.times or self.hour_ranges or numbers or self.on_the)

    @property
    def names_days(self) -> bool:
        """Whether the phrase names days or months."""
        return bool(self.has_weekdays or self.has_month_days or self.months)

    @property
    def names_certain_days(self) -> bool:
        """Whether it runs on some days only."""
        cadence = self.cadence
        some = cadence is not None and cadence.unit in {"day", "week", "month", "year"}
        every_day = some and cadence == Cadence(1, "day")
        return self.names_days or (some and not every_day)

    @property
    def names_only_seconds(self) -> bool:
        """Whether it names only seconds: "at second 10" is second 10 of every minute."""
        others = self.minutes or self.hours or self.on_the or self.cadence
        return bool(self.seconds) and not (others or self.names_days)

    @property
    def has_month_days(self) -> bool:
        """Whether the phrase names days of the month."""
        return bool(self.month_days or self.last_day or self.day_range)

    @property
    def has_weekdays(self) -> bool:
        """Whether the phrase names weekdays."""
        return bool(self.weekdays or self.nth_weekdays)

    def refusal(self, reason: str, hint: str = "") -> ScheduleError:
        """Return the error that refuses the phrase."""
        return refusal(self.text, reason, hint)
