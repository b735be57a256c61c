"""Time zones as people write them: `Europe/Paris`, `UTC`, `+02:00`.

A name is looked up in the zone database of the system, otherwise of the package tzdata. Names
are found in any case; a name that does not exist is refused with the nearest that do.
"""

import re
from datetime import UTC, timedelta, timezone, tzinfo
from functools import cache, lru_cache

from .error import ScheduleError, quoted

_OFFSET = re.compile(r"([+-])([01]\d|2[0-4]):?(00|15|30|45)?", re.ASCII)
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+){0,2}", re.ASCII)
_UTC_NAMES = frozenset({"utc", "z", "zulu", "etc/utc", "utc+0", "utc-0"})
_NAME_AND_OFFSET = re.compile(r"(?:utc|gmt)([+-])(\d\d?)(?::?(\d\d))?", re.IGNORECASE)
# Files beside the zones that are no zones: leap-second clocks and the machine's own choice.
_NOT_A_ZONE = ("right/", "posix/", "localtime", "posixrules")


@lru_cache(maxsize=1024)
def find_zone(name: str) -> tuple[str, tzinfo] | None:
    """Return the zone's proper name and its clock, or None for an unknown name."""
    if name.lower() in _UTC_NAMES:
        return ("Etc/UTC" if "/" in name else "UTC"), UTC
    if offset := _OFFSET.fullmatch(name):
        return _fixed(*offset.groups(default="00"))
    if not _NAME.fullmatch(name) or name.lower().startswith(_NOT_A_ZONE):
        return None
    return _load(name) or _load(_proper_names().get(name.lower(), ""))


def require_zone(name: str) -> tuple[str, tzinfo]:
    """Return what `find_zone` returns.

    Raises:
        ScheduleError: for an unknown name; the hint offers the nearest names.
    """
    if zone := find_zone(name):
        return zone
    if offset := _NAME_AND_OFFSET.fullmatch(name):
        sign, hours, minutes = offset.groups(default="00")
        raise ScheduleError(
            f"{quoted(name)} may lie on either side of Greenwich",
            f'write "{sign}{hours:0>2}:{minutes}", or a name such as Europe/Paris',
        )
    raise ScheduleError(f"there is no time zone {quoted(name)}", _nearest_names(name))


def _fixed(sign: str, hours: str, minutes: str) -> tuple[str, tzinfo] | None:
    offset = timedelta(hours=int(hours), minutes=int(minutes))
    if offset >= timedelta(hours=24):
        return None
    if not offset:
        return "UTC", UTC
    return f"{sign}{hours}:{minutes}", timezone(-offset if sign == "-" else offset)


def _load(name: str) -> tuple[str, tzinfo] | None:
    from zoneinfo import ZoneInfo  # noqa: PLC0415 - slow to load, and not for UTC

    try:
        return (name, ZoneInfo(name)) if name else None
    except (KeyError, ValueError, OSError):
        return None


@cache
def _proper_names() -> dict[str, str]:
    from zoneinfo import available_timezones  # noqa: PLC0415 - as above

    return {name.lower(): name for name in sorted(available_timezones())}


def _nearest_names(name: str) -> str:
    from difflib import get_close_matches  # noqa: PLC0415 - only needed to be helpful

    names = _proper_names()
    wanted = name.lower().replace(" ", "_")[:60]
    city = wanted.rpartition("/")[2]
    near = [names[key] for key in get_close_matches(wanted, names, n=3, cutoff=0.7)]
    near += [names[key] for key in names if key.rpartition("/")[2] == city]
    unique = list(dict.fromkeys(near))[:3]
    if unique:
        return "did you mean " + " or ".join(unique) + "?"
    return "write a name of the zone database such as Europe/Paris, or UTC, or +02:00"
