"""What goes in comes out, or is refused at once."""

from __future__ import annotations

import dataclasses
import enum
import json
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobsd.errors import ArgumentError
from jobsd.jobs.arguments import SIZE_MAX, argument_type, dump, load


@argument_type
class Colour(enum.Enum):
    RED = 1
    GREEN = "green"


@argument_type
@dataclasses.dataclass(frozen=True)
class Point:
    x: float
    labels: tuple[str, ...] = ()


class Stranger:
    pass


_text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
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
    | st.datetimes(timezones=st.just(UTC))
    | st.sampled_from(Colour)
    | st.builds(Point, st.floats(allow_nan=False), st.tuples(_text))
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
def test_what_goes_in_comes_out(args: list[Any], kwargs: dict[str, Any]) -> None:
    assert load(dump(args, kwargs)) == (args, kwargs)


@given(st.lists(_values, max_size=4))
def test_types_are_kept_and_not_only_values(args: list[Any]) -> None:
    back, _ = load(dump(args, {}))

    assert [type(value) for value in back] == [type(value) for value in args]


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


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (Stranger(), "argument 1 is a Stranger"),
        ("a\0b", "NUL"),
        ("\ud800", "surrogate"),
        (lambda: None, "argument 1 is a function"),
        ([1, {"deep": Stranger()}], "Stranger"),
        (1j, "complex"),
    ],
)
def test_what_cannot_be_written_is_refused_and_named(value: object, said: str) -> None:
    with pytest.raises(ArgumentError, match=said):
        dump([value], {})


def test_a_keyword_argument_is_named_when_it_is_refused() -> None:
    with pytest.raises(ArgumentError, match="argument 'who'"):
        dump([], {"who": Stranger()})


def test_a_list_that_holds_itself_is_refused() -> None:
    endless: list[Any] = []
    endless.append(endless)

    with pytest.raises(ArgumentError, match="in itself"):
        dump([endless], {})


def test_more_than_a_mebibyte_is_refused() -> None:
    with pytest.raises(ArgumentError, match="at most 1,048,576"):
        dump(["x" * SIZE_MAX], {})


def test_an_unregistered_enumeration_is_refused() -> None:
    class Unknown(enum.Enum):
        A = 1

    with pytest.raises(ArgumentError, match="@argument_type"):
        dump([Unknown.A], {})


@pytest.mark.parametrize(
    "text",
    [
        '[{"$import": "os"}]',
        '[{"$enum": ["os.system", "A"]}]',
        '[{"$dataclass": ["builtins.eval", {}]}]',
        '[{"$enum": ["nothing"]}]',
        '[{"$decimal": "x"}]',
        '[{"$uuid": 7}]',
        '[{"$datetime": "yesterday"}]',
        '[{"$datetime": ["2026-01-01T00:00:00", "No/Where"]}]',
        '[{"$bytes": "%%%"}]',
        '[{"$tuple": 5}]',
        '[{"$dict": [[1]]}]',
        '[{"$dict": [[[], 1]]}]',
        '[{"$timedelta": ["a"]}]',
        '[{"$keywords": 5}]',
        "7",
        '"text"',
        "[",
        "[" * 2000 + "]" * 2000,
    ],
    ids=lambda text: text[:30],
)
def test_a_forged_payload_is_refused_with_our_error_only(text: str) -> None:
    with pytest.raises(ArgumentError):
        load(text)


def test_an_object_holds_keyword_arguments() -> None:
    assert load('{"user_id": 42}') == ([], {"user_id": 42})


def test_plain_arguments_are_plain_json() -> None:
    assert json.loads(dump([1, "a", None], {})) == [1, "a", None]
