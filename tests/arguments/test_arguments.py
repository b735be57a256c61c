"""What goes in comes out, or is refused at once."""

from __future__ import annotations

import dataclasses
import enum
import json
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jobsd.arguments.arguments import argument_type, dump, load

if TYPE_CHECKING:
    from jobsd.database.connection import Session


@argument_type
class Colour(enum.Enum):
    RED = 1
    GREEN = "green"


@argument_type
@dataclasses.dataclass(frozen=True)
class Point:
    x: float
    labels: tuple[str, ...] = ()


@argument_type
class Access(enum.Flag):
    READ = 1
    WRITE = 2


@argument_type
@dataclasses.dataclass
class Parcel:
    weight: Decimal
    to: Point | None = None
    tracked: bool = dataclasses.field(default=False, kw_only=True)
    label: str = dataclasses.field(init=False, default="made anew")


_text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
_offsets = st.timedeltas(timedelta(hours=-23), timedelta(hours=23)).map(timezone)
_scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | _text
    | st.binary()
    | st.decimals(allow_nan=False)
    | st.uuids()
    | st.dates()
    | st.times()
    | st.timedeltas()
    | st.datetimes()
    | st.datetimes(timezones=st.timezones() | st.just(UTC) | _offsets)
    | st.sampled_from(Colour)
    | st.sampled_from([Access(0), Access.READ, Access.READ | Access.WRITE])
    | st.builds(Point, st.floats(allow_nan=False), st.tuples(_text))
    | st.builds(Parcel, st.decimals(allow_nan=False), st.none(), tracked=st.booleans())
)
_hashable = st.integers() | _text | st.dates() | st.tuples(st.integers(), _text)
_values = st.recursive(
    _scalars,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.sets(_hashable, max_size=4)
        | st.frozensets(_hashable, max_size=4)
        | st.dictionaries(_text | st.integers() | st.just("$set"), inner, max_size=4)
    ),
    max_leaves=12,
)
_names = st.text("abc$_", min_size=1, max_size=4)


@given(st.lists(_values, max_size=4), st.dictionaries(_names, _values, max_size=3))
def test_dumped_arguments_load_unchanged(args: list[Any], kwargs: dict[str, Any]) -> None:
    assert load(dump(args, kwargs)) == (args, kwargs)


@given(st.lists(_values, max_size=4))
def test_types_are_kept_and_not_only_values(args: list[Any]) -> None:
    back, _ = load(dump(args, {}))

    assert [type(value) for value in back] == [type(value) for value in args]


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    max_examples=50,
)
@given(st.lists(_values, max_size=4), st.dictionaries(_names, _values, max_size=3))
def test_arguments_stored_as_jsonb_load_unchanged(
    session: Session, args: list[Any], kwargs: dict[str, Any]
) -> None:
    row = session.connection.execute("SELECT %s::jsonb::text", (dump(args, kwargs),)).fetchone()

    assert row is not None
    assert load(row[0]) == (args, kwargs)


def test_a_list_of_pairs_keeps_an_order_that_a_dictionary_loses(session: Session) -> None:
    given = {"later": 1, "b": 2, "a": 3}

    row = session.connection.execute(
        "SELECT %s::jsonb::text", (dump([given, [*given.items()]], {}),)
    ).fetchone()

    assert row is not None
    (back, pairs), _ = load(row[0])
    assert back == given
    assert [*back] == ["a", "b", "later"]
    assert pairs == [*given.items()]


@pytest.mark.parametrize(
    "value",
    [
        float("inf"),
        -0.0,
        1e22,
        1e-300,
        10**40,
        datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=ZoneInfo("Europe/Berlin")),
        datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=5, minutes=30))),
        datetime(2026, 3, 29, 2, 30, tzinfo=ZoneInfo("Europe/Berlin")),
        datetime(2026, 3, 29, 2, 30, fold=1, tzinfo=ZoneInfo("Europe/Berlin")),
        datetime(2026, 1, 1, fold=1, tzinfo=ZoneInfo("Europe/Berlin")),
        datetime(2026, 1, 1, fold=1),  # noqa: DTZ001 - a naive one comes back naive
        datetime.min.replace(tzinfo=ZoneInfo("Asia/Tokyo")),
        datetime.max.replace(tzinfo=ZoneInfo("America/Lima")),
        time(2, 30, fold=1),
        time(2, 30, tzinfo=UTC),
        time(2, 30, tzinfo=timezone(timedelta(seconds=-0.5))),
        datetime(2000, 1, 1, tzinfo=timezone(timedelta(microseconds=1))),
        timedelta.max,
        Access.READ | Access.WRITE,
        Parcel(Decimal("1.50"), Point(1.0), tracked=True),
        Decimal("-Infinity"),
        Decimal("1E+1000"),
        {"$a": 1, "$b": 2},
        {"": {"$": None}},
        2**13_999,
        {"$decimal": "this is a dictionary"},
        {1: 2, (3, 4): None},
        [{"$keywords": {}}],
        Decimal("1.10"),
        UUID(int=7),
        time(1, 2, 3, 4),
        date(1, 1, 1),
        b"\0\xff",
    ],
    ids=repr,
)
def test_odd_values_come_back_as_they_were(value: object) -> None:
    (back,), _ = load(dump([value], {}))

    assert (repr(back), back) == (repr(value), value)


def test_a_number_that_is_none_comes_back() -> None:
    (back,), _ = load(dump([float("nan")], {}))

    assert back != back  # noqa: PLR0124 - that is what makes it none


def test_an_object_holds_keyword_arguments() -> None:
    assert load('{"user_id": 42}') == ([], {"user_id": 42})


def test_plain_arguments_are_plain_json() -> None:
    assert json.loads(dump([1, "a", None], {})) == [1, "a", None]
