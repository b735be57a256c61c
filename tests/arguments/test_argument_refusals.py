"""What arguments can't be, and what a payload can't do."""

from __future__ import annotations

import dataclasses
import enum
import inspect
import json
import sys
from datetime import time
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from jobsd.arguments.arguments import SIZE_MAX, argument_type, dump, load
from jobsd.errors import ArgumentError


@argument_type
class Colour(enum.Enum):
    RED = 1


@argument_type
class Access(enum.Flag):
    READ = 1
    WRITE = 2


@argument_type
@dataclasses.dataclass(frozen=True)
class Point:
    x: float
    labels: tuple[str, ...] = ()


@argument_type
@dataclasses.dataclass
class Choosy:
    age: int

    def __post_init__(self) -> None:
        if self.age < 0:
            raise LookupError("nobody is that young")


class Outsider:
    def __repr__(self) -> str:
        raise AssertionError("what is refused is not asked what it holds")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (Outsider(), "argument 1 is of type Outsider"),
        ("a\0b", "argument 1 holds a NUL"),
        ({"a": ("b", "a\0b")}, r"argument 1\['a'\]\[1\] holds a NUL"),
        ({"a\0b": 1}, "argument 1 holds a NUL"),
        ({7: {"a\0b"}}, r"argument 1\[7\] holds a NUL"),
        (Point(1.0, ("\0",)), r"argument 1\.labels\[0\] holds a NUL"),
        ("\ud800", "argument 1 holds half of a surrogate"),
        (lambda: None, "argument 1 is of type function"),
        ([1, {"deep": Outsider()}], r"argument 1\[1\]\['deep'\] is of type Outsider"),
        (1j, "complex"),
        (2**14_000, "argument 1 is a whole number of more than 14,000 bits"),
        (Point, "argument 1 is of type type"),
        (time(1, tzinfo=ZoneInfo("Europe/Berlin")), "no offset without a date"),
        (bytearray(b"a"), "argument 1 is of type bytearray"),
    ],
)
def test_what_cannot_be_written_is_refused_and_named(value: object, said: str) -> None:
    with pytest.raises(ArgumentError, match=said):
        dump([value], {})


@pytest.mark.parametrize("name", ["a\0b", "\ud800"], ids=repr)
def test_a_name_that_can_not_be_stored_is_no_name_of_a_type(name: str) -> None:
    with pytest.raises(ArgumentError, match="can't be stored"):
        argument_type(Colour, name=name)


def test_a_keyword_argument_is_named_when_it_is_refused() -> None:
    with pytest.raises(ArgumentError, match="argument 'who'"):
        dump([], {"who": Outsider()})


def test_a_list_that_holds_itself_is_refused() -> None:
    endless: list[Any] = []
    endless.append(endless)

    with pytest.raises(ArgumentError, match="in itself"):
        dump([endless], {})


def test_a_caller_that_has_gone_deep_already_gets_our_error() -> None:
    argument = _nested(90)

    def deeper(levels: int) -> str:
        return deeper(levels - 1) if levels else dump([argument], {})

    with pytest.raises(ArgumentError, match="recursion"):
        deeper(sys.getrecursionlimit() - len(inspect.stack()) - 60)


def _nested(levels: int) -> list[Any]:
    return [_nested(levels - 1)] if levels else []


def test_a_name_of_an_argument_is_text_too() -> None:
    with pytest.raises(ArgumentError, match="the name of an argument holds a NUL"):
        dump([], {"a\0b": 1})


def test_more_than_a_mebibyte_is_refused() -> None:
    with pytest.raises(ArgumentError, match="at most 1,048,576"):
        dump(["x" * SIZE_MAX], {})


def test_an_unregistered_enumeration_is_refused() -> None:
    class Unknown(enum.Enum):
        A = 1

    with pytest.raises(ArgumentError, match="@argument_type"):
        dump([Unknown.A], {})


def test_a_dataclass_that_its_fields_can_not_make_is_no_argument_type() -> None:
    @dataclasses.dataclass
    class Seeded:
        value: int
        seed: dataclasses.InitVar[int]

    with pytest.raises(ArgumentError, match="'seed' is needed"):
        argument_type(Seeded)


def test_a_name_stands_for_one_class_only() -> None:
    @dataclasses.dataclass
    class Other:
        value: int

    with pytest.raises(ArgumentError, match="is registered"):
        argument_type(Other, name=f"{__name__}.Colour")


def test_a_forged_payload_loads_no_module() -> None:
    forged = ["this.Zen", "antigravity.fly", "idlelib.idle.main", "os.system"]
    before = set(sys.modules)
    for name in forged:
        values: list[Any] = [[name, "x"], [name, {}], name, {"module": name}]
        for value in values:
            for tag in ("$enum", "$dataclass", "$import", "$object", "$datetime"):
                with pytest.raises(ArgumentError):
                    load(json.dumps([{tag: value}]))

    assert set(sys.modules) == before


def test_what_an_authors_class_raises_is_our_error() -> None:
    forged = dump([Choosy(1)], {}).replace('"age":1', '"age":-1')

    with pytest.raises(ArgumentError, match="nobody is that young"):
        load(forged)


@pytest.mark.parametrize(
    "text",
    [
        '[{"$import": "os"}]',
        '[{"$timedelta": [1e300]}]',
        f'[{{"$float": {10**400}}}]',
        f"[{'9' * 5000}]",
        '[{"$datetime": ["2026-01-01T00:00:00", "Europe"]}]',
        '[{"$datetime": ["2026-01-01T00:00:00", "../../../etc/passwd"]}]',
        '[{"$datetime": ["2026-01-01T00:00:00", null, 1, 1]}]',
        f'[{{"$enum": ["{__name__}.Access", 64]}}]',
        f'[{{"$enum": ["{__name__}.Colour", "__class__"]}}]',
        f'[{{"$enum": ["{__name__}.Point", "x"]}}]',
        f'[{{"$dataclass": ["{__name__}.Colour", {{}}]}}]',
        f'[{{"$dataclass": ["{__name__}.Point", {{"y": 1}}]}}]',
        f'[{{"$dataclass": ["{__name__}.Point", []]}}]',
        '[{"$enum": [["unhashable"], "x"]}]',
        '[{"$set": [[]]}]',
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
