"""Reads arguments from the JSON that `argument_writing` writes, and refuses anything else."""

import base64
import dataclasses
import enum
from collections.abc import Callable
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any, TypeVar
from uuid import UUID

from jobsd.errors import ArgumentError
from jobsd.late import pattern

from . import references
from .argument_types import of_name
from .argument_writing import DEPTH_MAX, is_tagged
from .json_kinds import is_list, is_object

AS_THEY_ARE = frozenset({str, int, float, bool, type(None)})
"""Types of JSON of which nothing is to be made."""

_TINY_OFFSET = pattern(r"([+-])00:00:00\.(\d{6})$")
_Clock = TypeVar("_Clock", datetime, time)


def read(value: Any, depth: int = 0) -> Any:  # noqa: ANN401 - any argument
    """Return the value that JSON stands for.

    Raises:
        ArgumentError: for a tag that is unknown here, or holds what it can't.
    """
    if depth > DEPTH_MAX * 2:
        raise ArgumentError("the arguments are nested too deeply")
    if is_list(value):
        return [read(item, depth + 1) for item in value]
    if not is_object(value):
        return value
    if is_tagged(value):
        return _read_tagged(*next(iter(value.items())), depth)
    return {key: read(item, depth + 1) for key, item in value.items()}


def _read_tagged(tag: str, held: Any, depth: int) -> Any:  # noqa: ANN401
    reader = _READERS.get(tag)
    if reader is None:
        if (reference := references.read(tag, held)) is not None:
            return reference
        raise ArgumentError(f"the arguments hold an unknown tag {tag!r}")
    try:
        return reader(held, depth + 1)
    except ArgumentError:
        raise
    except Exception as error:
        # Whatever a forged value makes the type raise, or the author's own class.
        raise ArgumentError(f"the arguments hold a {tag} that is none: {error}") from error


def _read_datetime(held: Any, depth: int) -> datetime:  # noqa: ANN401
    del depth
    if isinstance(held, str):
        return _in_its_zone(datetime.fromisoformat(held), held)
    text, name, *folded = held
    moment = _in_its_zone(datetime.fromisoformat(text), text).replace(fold=len(folded))
    if name is None:
        return moment
    from zoneinfo import ZoneInfo  # noqa: PLC0415 - slow to load, and seldom needed

    zone = ZoneInfo(name)
    # The clock's time stays what it was, which may be one that the zone skips.
    for fold in (moment.fold, 1 - moment.fold):
        local = moment.replace(tzinfo=zone, fold=fold)
        if local.utcoffset() == moment.utcoffset():
            return local
    # The zone has got other rules since then: the moment stays.
    return moment.astimezone(zone)


def _read_time(held: Any, depth: int) -> time:  # noqa: ANN401
    del depth
    if isinstance(held, str):
        return _in_its_zone(time.fromisoformat(held), held)
    text, fold = held
    return _in_its_zone(time.fromisoformat(text), text).replace(fold=fold)


def _in_its_zone(clock: _Clock, text: str) -> _Clock:
    """Give back an offset of less than a second, which Python takes for none."""
    found = _TINY_OFFSET.search(text)
    if found is None:
        return clock
    return clock.replace(tzinfo=timezone(timedelta(microseconds=int(found[1] + found[2]))))


def _read_enum(held: Any, depth: int) -> enum.Enum:  # noqa: ANN401
    del depth
    name, member = held
    kind = _registered(name)
    if not issubclass(kind, enum.Enum):
        raise ArgumentError(f"{name!r} is no enumeration")
    return kind(member) if issubclass(kind, enum.Flag) else kind[member]


def _read_dataclass(held: Any, depth: int) -> Any:  # noqa: ANN401
    name, fields = held
    kind = _registered(name)
    if not dataclasses.is_dataclass(kind):
        raise ArgumentError(f"{name!r} is no dataclass")
    return kind(**{key: read(value, depth) for key, value in fields.items()})


def _registered(name: str) -> type[Any]:
    kind = of_name(name)
    if kind is None:
        raise ArgumentError(f"the arguments hold a {name!r}, which is not registered here")
    return kind


def _read_items(kind: Callable[[list[Any]], Any]) -> Callable[[Any, int], Any]:
    def read_all(held: Any, depth: int) -> Any:  # noqa: ANN401
        if not is_list(held):
            raise TypeError("a list is expected")
        return kind([read(item, depth) for item in held])

    return read_all


_READERS: dict[str, Callable[[Any, int], Any]] = {
    "$float": lambda held, _depth: float(held),
    "$tuple": _read_items(tuple),
    "$set": _read_items(set),
    "$frozenset": _read_items(frozenset),
    "$dict": lambda held, depth: {read(k, depth): read(v, depth) for k, v in held},
    "$datetime": _read_datetime,
    "$date": lambda held, _depth: date.fromisoformat(held),
    "$time": _read_time,
    "$timedelta": lambda held, _depth: timedelta(*held),
    "$decimal": lambda held, _depth: Decimal(held),
    "$uuid": lambda held, _depth: UUID(held),
    "$bytes": lambda held, _depth: base64.b64decode(held, validate=True),
    "$enum": _read_enum,
    "$dataclass": _read_dataclass,
}
