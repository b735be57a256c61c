"""Keys as text: equal ones are equal, and no others."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from itertools import product
from typing import Any, cast
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobsd.arguments.keys import UnfitKeyError, encode
from jobsd.errors import LimitError
from jobsd.jobs.limits import Limit


class Colour(Enum):
    RED = "red"
    PAIR = ("red", 1)
    REAL = 1.5
    YES = True


class Word(StrEnum):
    RED = "red"


class Old(str, Enum):  # noqa: UP042 - its text is another one than that of a StrEnum
    RED = "red"


class Level(IntEnum):
    HIGH = 7


class Row:
    def __init__(self, row_id: object) -> None:
        self.id = row_id

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Row) and self.id == other.id

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Row({self.id!r})"


class Model:
    def __init__(self, pk: object) -> None:
        self.pk = pk
        self.id = "of the database"


class Lazy:
    """An object that stands for another one, as `request.user` of Django does."""

    def __init__(self, stands_for: object) -> None:
        self._stands_for = stands_for

    def __getattribute__(self, name: str) -> object:
        return getattr(object.__getattribute__(self, "_stands_for"), name)


class Torn:
    @property
    def id(self) -> int:
        raise RuntimeError("the session is closed")


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("ann", "g/ann"),
        ("", "g"),
        (7, "g/7"),
        ("7", "g/7"),
        (-7, "g/-7"),
        (UUID(int=1), f"g/{UUID(int=1)}"),
        (date(2026, 11, 27), "g/2026-11-27"),
        (Colour.RED, "g/red"),
        (Word.RED, "g/red"),
        (Old.RED, "g/red"),
        (Level.HIGH, "g/7"),
        (Colour.PAIR, "g/~(red/1/~)"),
        (("ann", 7), "g/ann/7"),
        (("a/b", "c~"), "g/a~1b/c~0"),
        (("a", ("b", "c")), "g/a/~(b/c/~)"),
        ((), "g/~(~)"),
        (("",), "g/~(/~)"),
        (("", ""), "g//"),
        (Row(3), f"g/{__name__}.Row~@3"),
        (Model(3), f"g/{__name__}.Model~@3"),
        (Lazy(Row(3)), f"g/{__name__}.Row~@3"),
        (Row((1, "x")), f"g/{__name__}.Row~@~(1/x/~)"),
    ],
)
def test_a_key_is_text_that_can_be_read(key: object, text: str) -> None:
    assert encode("g", key) == text


@pytest.mark.parametrize(
    "key",
    [
        None,
        True,
        1.0,
        Decimal("1.00"),
        1j,
        b"a",
        frozenset("ab"),
        {"a"},
        ["a"],
        {"a": 1},
        datetime(2026, 11, 27, tzinfo=UTC),
        object(),
        Row,
        Row(None),
        Row(1.5),
        Row(lambda: 7),
        Colour.REAL,
        Colour.YES,
        ("a", None),
        ("a", True),
        ("a", ["b"]),
        "x" * 1001,
        ("é" * 250, "é" * 250),
        "a\0b",
        "a\nb",
        "\ud800",
        pytest.param(10**5000, id="more digits than Python writes"),
    ],
)
def test_an_unfit_key_is_refused(key: object) -> None:
    with pytest.raises(UnfitKeyError):
        encode("g", key)


def test_what_holds_itself_is_refused() -> None:
    endless = Row(None)
    endless.id = endless

    with pytest.raises(UnfitKeyError, match="deeper than 20 levels, or in itself"):
        encode("g", endless)


def test_a_refused_key_raises_a_limit_error_that_explains_keys() -> None:
    with pytest.raises(
        LimitError, match=r"job: the key of .* 1\.5 is not a valid key.* a key is a str"
    ):
        Limit(key=lambda: 1.5).of("job", (), {})


def test_an_unfit_fixed_key_is_refused_at_the_definition() -> None:
    with pytest.raises(LimitError, match="True is not a valid key"):
        Limit(key=True)


def test_an_object_that_can_not_be_asked_for_its_id_is_reported() -> None:
    with pytest.raises(LimitError, match="raised RuntimeError: the session is closed"):
        Limit(key=Torn).of("job", (), {})


PIECES = st.sampled_from(
    ["", "a", "b", "/", "~", "~0", "~1", "~(", "~)", "~@", "a/b", "7", "-1"]
)
TEXTS = st.lists(PIECES, max_size=3).map("".join)
SCALARS = (
    TEXTS | st.integers(-9, 9) | st.uuids() | st.dates() | st.sampled_from([*Word, *Level])
)
KEYS = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3).map(tuple) | inner.map(Row), max_leaves=6
)


def _plain(key: object) -> object:
    """Return what a key is by its definition: texts, built in the same way."""
    if isinstance(key, tuple):
        return tuple(map(_plain, cast("tuple[object, ...]", key)))
    if isinstance(key, Row):
        return ["Row", _plain(key.id)]
    return str(key.value if isinstance(key, Enum) else key)


@given(st.lists(st.tuples(TEXTS.filter(bool), KEYS), min_size=2, max_size=40))
def test_two_keys_have_one_text_exactly_if_they_are_the_same(given: list[Any]) -> None:
    same = {repr((scope, _plain(key))) for scope, key in given}

    assert len({encode(scope, key) for scope, key in given}) == len(same)


@given(TEXTS.filter(bool), KEYS, KEYS)
def test_no_key_is_another_ones(scope: str, one: object, other: object) -> None:
    equal = encode(scope, one) == encode(scope, other)

    assert equal == (_plain(one) == _plain(other))


def test_no_two_of_all_small_keys_are_one() -> None:
    row = f"{__name__}.Row"
    texts = ["", "a", "/", "~", "~0", "~1", "a/a", "~(a", "~(a/~)", f"{row}~@a", f"{row}@a"]
    flat = [*texts, *map(Row, texts), (), *product(texts), *product(texts, repeat=2)]
    deep = [*map(Row, flat), *product(flat), *product(flat, texts), (("a", "a"), ("a",))]
    known = [*flat, *deep]
    keys = {repr(_plain(key)): key for key in known}

    assert len({encode("g", key) for key in keys.values()}) == len(keys)
    few = ["", "a", ("a", "a"), ("a", "a", "a"), ("", "")]
    assert len({encode(*pair) for pair in product(texts[1:], few)}) == (len(texts) - 1) * 5


def test_a_key_is_the_same_in_every_process() -> None:
    reported = "from jobsd.arguments.keys import encode; print(encode('g', ('a', 7, ('b',))))"
    texts = {
        subprocess.run(
            [sys.executable, "-c", reported],
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }

    assert texts == {"g/a/7/~(b/~)\n"}
