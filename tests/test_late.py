"""Dataclasses whose methods are made when the first instance is, and modules that wait."""

from __future__ import annotations

import copy
import dataclasses
import importlib
import inspect
import pickle
import re
import subprocess
import sys
import threading
from dataclasses import field
from datetime import UTC, datetime
from types import FunctionType
from typing import TYPE_CHECKING, Any

import pytest

from jobsd.heartbeat.log import HeartbeatLog
from jobsd.late import dataclass, fields, modules, pattern, patterns_of

if TYPE_CHECKING:
    from pathlib import Path


def _classes(decorator: Any) -> tuple[Any, Any, Any]:
    """Return three classes of all kinds of fields, made by a decorator."""

    @decorator(frozen=True, slots=True)
    class Point:
        x: int
        y: int = 2
        tags: list[str] = field(default_factory=list[str], compare=False)
        hidden: str = field(default="secret", repr=False)

        def __post_init__(self) -> None:
            object.__setattr__(self, "y", self.y + 0)

    @decorator(slots=True, kw_only=True)
    class Open:
        first: int = 1
        second: int
        made: int = field(default=5, init=False)
        several: list[int] = field(default_factory=lambda: [1], init=False)

    @decorator(frozen=True, slots=True)
    class Near(Point):
        z: int = 3

        def __str__(self) -> str:
            return "near"

    return Point, Open, Near


@pytest.fixture(params=[dataclass, dataclasses.dataclass], ids=["ours", "the original"])
def classes(request: pytest.FixtureRequest) -> tuple[Any, Any, Any]:
    return _classes(request.param)


def test_instances_are_equal_when_their_fields_are(classes: tuple[Any, Any, Any]) -> None:
    point, open_, near = classes

    assert point(1) == point(1, 2, ["not compared"])
    assert point(1) != point(2)
    assert point(1) != near(1)
    assert hash(point(1)) == hash(point(1, tags=["not compared"]))
    assert open_(second=2) == open_(first=1, second=2)
    assert open_.__hash__ is None
    assert {near(1): "kept"}[near(1)] == "kept"


def test_fields_are_filled_and_shown(classes: tuple[Any, Any, Any]) -> None:
    point, open_, near = classes

    assert repr(point(1)).endswith("Point(x=1, y=2, tags=[])")
    assert repr(open_(second=2)).endswith("Open(first=1, second=2, made=5, several=[1])")
    assert (near(1).x, near(1, 5).y, near(1, 5, [], "", 9).z) == (1, 5, 9)
    assert str(near(1)) == "near"
    assert point(1).tags is not point(1).tags
    assert dataclasses.asdict(open_(second=2)) == {
        "first": 1,
        "second": 2,
        "made": 5,
        "several": [1],
    }
    assert dataclasses.replace(near(1), y=7) == near(1, 7)
    match point(4, 5):
        case point(4, 5):
            pass
        case _:
            raise AssertionError("it is not matched by its fields")


def test_what_a_class_takes_is_known_before_it_has_an_instance(
    classes: tuple[Any, Any, Any],
) -> None:
    point, open_, _ = classes

    taken = inspect.signature(point).parameters.values()

    assert [(each.name, each.annotation) for each in taken] == [
        ("x", "int"),
        ("y", "int"),
        ("tags", "list[str]"),
        ("hidden", "str"),
    ]
    assert [each.default for each in taken][:2] == [inspect.Parameter.empty, 2]
    assert {each.kind.name for each in inspect.signature(open_).parameters.values()} == {
        "KEYWORD_ONLY"
    }
    assert [field.name for field in dataclasses.fields(open_)] == [
        *("first", "second", "made", "several")
    ]


def test_dataclasses_is_asked_for_nothing_before_somebody_asks_for_fields(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(dataclasses, "dataclass")

    point, open_, near = _classes(dataclass)

    assert (point(1), open_(second=2), near(1)) == (point(1), open_(second=2), near(1))
    assert [each.name for each in fields(near)] == ["x", "y", "tags", "hidden", "z"]
    with pytest.raises(TypeError):
        dataclasses.fields(point)


def test_what_has_many_instances_is_compiled_and_what_has_few_is_not() -> None:
    point, open_, _ = _classes(dataclass)

    made = [point(n, tags=[str(n)]) for n in range(50)] + [open_(second=n) for n in range(3)]

    assert [(each.x, each.y, each.tags, each.hidden) for each in made[:50]] == [
        (n, 2, [str(n)], "secret") for n in range(50)
    ]
    assert [(each.first, each.second, each.made, each.several) for each in made[50:]] == [
        (1, n, 5, [1]) for n in range(3)
    ]
    compiled = [isinstance(vars(each)["__init__"], FunctionType) for each in (point, open_)]
    assert compiled == [True, False]


def test_fields_may_have_names_that_we_use() -> None:
    @dataclass(frozen=True, slots=True)
    class Named:
        instance: int
        cls: int
        name: int

    assert repr(Named(instance=1, cls=2, name=3)).endswith("(instance=1, cls=2, name=3)")


@pytest.mark.parametrize("decorator", [dataclass, dataclasses.dataclass])
def test_a_class_without_slots_has_its_defaults_as_attributes(decorator: Any) -> None:
    @decorator(frozen=True)
    class Written:
        first: int
        second: int = 2
        third: int = field(default=3, repr=False)
        fourth: list[int] = field(default_factory=list[int])

    wide: Any = Written
    assert (wide.second, wide.third, hasattr(wide, "first"), hasattr(wide, "fourth")) == (
        *(2, 3),
        *(False, False),
    )
    assert vars(wide(1)) == {"first": 1, "second": 2, "third": 3, "fourth": []}


def test_a_frozen_one_can_t_be_changed(classes: tuple[Any, Any, Any]) -> None:
    one = classes[0](1)

    with pytest.raises(dataclasses.FrozenInstanceError):
        one.x = 2
    with pytest.raises(dataclasses.FrozenInstanceError):
        del one.x
    assert one.x == 1
    assert not hasattr(one, "__dict__")


def test_frozen_ones_are_copied_and_pickled() -> None:
    beat = HeartbeatLog(1, datetime(2026, 1, 1, tzinfo=UTC), "test", "web-1")

    copies = copy.copy(beat), copy.deepcopy(beat), pickle.loads(pickle.dumps(beat))  # noqa: S301

    assert copies == (beat, beat, beat)


def test_one_with_other_values_is_made_as_copy_does_it() -> None:
    point, _, near = _classes(dataclass)

    assert near.__replace__(near(1), y=7) == near(1, 7)
    assert point.__replace__(point(1), x=2) == point(2)


def test_wrong_arguments_are_refused(classes: tuple[Any, Any, Any]) -> None:
    point, open_, _ = classes

    for _ in ("the first instance", "later ones"):
        with pytest.raises(TypeError, match="missing 1 required positional argument: 'x'"):
            point()
        with pytest.raises(TypeError, match="missing 1 required keyword-only argument"):
            open_()
        with pytest.raises(TypeError, match="unexpected keyword argument 'made'"):
            open_(second=1, made=2)
        with pytest.raises(TypeError, match="multiple values for argument 'x'"):
            point(1, x=2)
        with pytest.raises(TypeError, match="takes from 2 to 5 positional arguments but 6"):
            point(1, 2, [], "", 5)


def test_methods_of_the_class_itself_are_kept() -> None:
    @dataclass(slots=True)
    class Own:
        value: int

        def __init__(self) -> None:
            self.value = 7

        def __repr__(self) -> str:
            return "own"

        def __eq__(self, other: object) -> bool:
            return other == "anything"

        __hash__ = None  # type: ignore[assignment]

    assert (Own().value, repr(Own()), Own() == "anything") == (7, "own", True)


def test_those_without_comparison_are_themselves_alone() -> None:
    @dataclass(eq=False)
    class Lone:
        value: int = 1

    one = Lone()

    assert one == one  # noqa: PLR0124 - that is what is asked
    assert one != Lone()
    assert len({one, Lone()}) == 2


def test_threads_may_make_the_first_instance_together() -> None:
    for _ in range(50):
        point = _classes(dataclass)[0]
        barrier = threading.Barrier(4)
        made: list[Any] = []

        def make(barrier: threading.Barrier = barrier, point: Any = point) -> None:
            barrier.wait(30)
            made.append(point(1))  # noqa: B023 - joined below

        threads = [threading.Thread(target=make) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert made == [point(1)] * 4


def test_a_pattern_is_compiled_when_it_is_first_asked() -> None:
    words = pattern(r"(\w+)=(?P<value>\d+)", re.IGNORECASE)
    broken = pattern("(")

    assert [found["value"] for found in words.finditer("a=1 b=2")] == ["1", "2"]
    assert words.fullmatch("A=1")
    assert words.pattern == r"(\w+)=(?P<value>\d+)"
    with pytest.raises(re.error):
        broken.match("")


def test_patterns_of_a_package_wait_while_it_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "patterned").mkdir()
    module = "import re\nfound = re.compile('(x', flags=re.I)\n"
    (tmp_path / "patterned/__init__.py").write_text("from . import inner\n")
    (tmp_path / "patterned/inner.py").write_text(module)
    (tmp_path / "at_once.py").write_text(module)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])

    with patterns_of("patterned"):
        patterned = importlib.import_module("patterned")
        with pytest.raises(re.error):
            importlib.import_module("at_once")

    with pytest.raises(re.error):
        patterned.inner.found.match("x")
    with pytest.raises(re.error):
        re.compile("(")


def test_no_docstring_is_made_of_the_signature_which_takes_a_millisecond() -> None:
    @dataclass(frozen=True)
    class Bare:
        number: int

    assert Bare.__doc__ == "Bare"


def test_a_module_of_a_room_is_loaded_when_it_is_first_used() -> None:
    load = (
        "import sys; from jobsd import acts; before = 'jobsd.acts.retries' in sys.modules;"
        " print(before, acts.retries.__name__, 'jobsd.acts.retries' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", load], check=True, capture_output=True, text=True
    )

    assert done.stdout == "False jobsd.acts.retries True\n"


def test_a_room_has_no_modules_but_those_that_it_lists() -> None:
    load = modules("jobsd.schedules", ["cron_parser"])

    assert load("cron_parser").__name__ == "jobsd.schedules.cron_parser"
    with pytest.raises(AttributeError, match=r"'jobsd\.schedules' has no attribute 'hints'"):
        load("hints")
