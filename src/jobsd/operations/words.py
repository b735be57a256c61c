"""Numbers, times and durations in the words of people."""

from datetime import UTC, datetime, timedelta

from jobsd.clock import utc_now

_UNITS = ((86400, "d"), (3600, "h"), (60, "m"))


def when(value: datetime) -> str:
    """Return the distance of a moment, as people say it."""
    away_s = (value - utc_now()).total_seconds()
    return f"in {length(away_s)}" if away_s > 0 else f"{length(-away_s)} ago"


def counted(count: int, noun: str, plural: str = "", *, most: int | None = None) -> str:
    """Return a number with its noun; `plural` if an s is not enough.

    Beyond `most` the things were not counted.
    """
    number = f"{count:,}" if most is None else capped(count, most)
    return f"{number} {noun if count == 1 else plural or f'{noun}s'}"


def capped(count: int, most: int) -> str:
    """Return a count that stops at `most`: "10,000+"."""
    return f"{most:,}+" if count > most else f"{count:,}"


def length(seconds: float) -> str:
    """Return a duration as people say it: its two largest units."""
    if seconds < 1:
        milliseconds = max(seconds, 0) * 1000
        digits = 1 if 0 < milliseconds < 10 else 0
        return f"{milliseconds:.{digits}f} ms"
    if seconds < 60:
        return f"{seconds:.1f}s" if seconds < 10 else f"{seconds:.0f}s"
    rest = round(seconds)
    parts: list[str] = []
    for size, unit in _UNITS:
        if rest >= size:
            parts.append(f"{rest // size}{unit}")
        rest %= size
    return "".join(([*parts, f"{rest}s"] if rest else parts)[:2])


def as_json(value: object) -> object:
    """Return the form in JSON of a value that JSON does not have."""
    match value:
        case datetime():
            return value.astimezone(UTC).isoformat()
        case timedelta():
            return round(value.total_seconds(), 6)
        case _:
            return str(value)
