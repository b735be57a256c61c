"""What makes a job unique, or limits it, is computed alike everywhere, or refused at once."""

from __future__ import annotations

import json
from datetime import date
from enum import Enum
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jobsd.arguments import keys
from jobsd.arguments.arguments import argument_type
from jobsd.errors import Error, LimitError, UniqueError
from jobsd.jobs.definition import Job, job
from jobsd.jobs.limits import Limit
from jobsd.jobs.unique import Unique

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import ClassVar

    from rows import Rows


@argument_type
class Size(Enum):
    """An argument whose value is its key."""

    SMALL = "s"


@job(
    name="by_names",
    unique=Unique(key=("tenant", "order_id")),
    limits_concurrency=Limit(key="tenant"),
)
def by_names(tenant: object, order_id: object = 7, *, note: str = "") -> None: ...


@job(name="all_of_them", unique=Unique())
def all_of_them(a: object, b: object = 2, *rest: object, **more: object) -> None: ...


@job(name="fixed", unique=Unique(key="nightly"))
def fixed(a: object) -> None: ...


@job(name="lifted", unique=Unique(key="a"), limits_concurrency=Limit(key="a"))
def lifted(a: object) -> None: ...


class ByNames(Job):
    unique: ClassVar[Unique | None] = Unique(key="order_id", group="orders")

    def perform(self, order_id: int) -> None: ...


def _key(draft: Any) -> str:
    assert draft.unique is not None
    return str(draft.unique.unique_key)


@pytest.mark.parametrize(
    "draft",
    [
        by_names.with_args("acme", 7),
        by_names.with_args("acme"),
        by_names.with_args(order_id="7", tenant="acme", note="x"),
    ],
)
def test_names_pick_arguments_however_they_are_passed(draft: Any) -> None:
    assert _key(draft) == "by_names/acme/7"
    assert draft.limited.key == "by_names/acme"


def test_the_method_of_a_class_is_read_without_self() -> None:
    assert _key(ByNames.with_args(7)) == "orders/7"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (date(2026, 1, 2), "2026-01-02"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (Size.SMALL, "s"),
        (("a/b", 1), "~(a~1b/1/~)"),
    ],
)
def test_a_named_argument_may_be_any_key(value: object, text: str) -> None:
    assert _key(by_names.with_args(value, 1)) == f"by_names/{text}/1"


def test_all_arguments_count_however_they_are_passed() -> None:
    same = {
        _key(draft)
        for draft in (
            all_of_them.with_args(1),
            all_of_them.with_args(1, 2),
            all_of_them.with_args(b=2, a=1),
        )
    }
    others = {
        _key(draft)
        for draft in (
            all_of_them.with_args(1, 3),
            all_of_them.with_args("1"),
            all_of_them.with_args(1, 2, 3),
            all_of_them.with_args(1, c=3),
            all_of_them.with_args([1]),
        )
    }

    assert len(same) == 1
    assert len(others) == 5
    assert not same & others


def test_sets_and_dictionaries_count_in_no_order() -> None:
    forwards, backwards = {n: str(n) for n in range(40)}, {n: str(n) for n in range(39, -1, -1)}

    assert _key(all_of_them.with_args({1, 2, 1025})) == _key(
        all_of_them.with_args({1025, 2, 1})
    )
    assert _key(all_of_them.with_args(forwards)) == _key(all_of_them.with_args(backwards))


def test_a_fixed_value_is_one_key_and_none_is_no_key() -> None:
    assert _key(fixed.with_args(1)) == _key(fixed.with_args(2)) == "fixed/nightly"
    assert lifted.with_args(None).unique is None
    assert lifted.with_args(None).limited is None


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(st.characters(exclude_characters="\0", codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.text(st.characters(exclude_characters="\0$", codec="utf-8"), max_size=5),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)


@given(written=JSON | st.floats(-1e6, 1e6).map(lambda x: round(x, 6)))
@settings(
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_postgresql_computes_the_same_key_of_all_arguments(rows: Rows, written: Any) -> None:
    if isinstance(written, float) and ("e" in repr(written) or repr(written) == "-0.0"):
        written = 0.5  # such ones are stored as texts
    text = json.dumps(written, ensure_ascii=False)
    query = "SELECT 's/~#' || encode(sha256(convert_to(%s::jsonb::text, 'UTF8')), 'hex')"

    assert rows(query, text) == [keys.digest("s", written)]


@pytest.mark.parametrize(
    ("options", "reported"),
    [
        (
            {"until": "claimed"},
            "until='claimed': one of started, finished, or None",
        ),
        ({"until": None}, "within needs until=None"),
        ({"within": "1h"}, "within needs until=None"),
        ({"until": None, "within": 0}, "within=0 is too short"),
        ({"until": None, "within": "soon"}, "within: 'soon' is not a duration"),
        ({"until": None, "within": float("nan")}, "within: nan is not a duration"),
        ({"until": None, "within": 1e300}, "longer than a hundred years"),
        ({"on_conflict": "wait"}, "on_conflict='wait': one of skip, raise, replace"),
        ({"on_conflict": "replace"}, "'replace' needs until='started'"),
        ({"max_wait": "1h"}, "max_wait needs on_conflict='replace'"),
        ({"group": 7}, "group=7 is not a valid key of unique"),
        ({"group": "g" * 1001}, "at most 1000 bytes"),
    ],
)
def test_impossible_options_are_refused(options: dict[str, Any], reported: str) -> None:
    with pytest.raises(Error, match=reported):
        Unique(**options)


@pytest.mark.parametrize("option", ["unique", "limits_concurrency"])
@pytest.mark.parametrize(
    ("key", "reported"),
    [
        ("order_di", r"'order_di' is not an argument of the job.*did you mean 'order_id'"),
        (
            ("order_id", "day"),
            r"'day' is not an argument of the job, which takes order_id, note",
        ),
    ],
)
def test_a_name_that_is_no_argument_is_refused(option: str, key: Any, reported: str) -> None:
    def lame(order_id: int, note: str = "") -> None: ...

    made = Unique(key=key) if option == "unique" else Limit(key=key)
    options: dict[str, Any] = {option: made}
    with pytest.raises(Error, match=f"{option}: key=.*{reported}"):
        job(name=f"lame {option} {key}", **options)(lame)


def test_an_object_that_is_no_unique_is_refused() -> None:
    with pytest.raises(Error, match=r"unique: 'yes' is not a Unique; write Unique"):
        job(unique=cast("Any", "yes"))(lambda: None)


def _take(a: object) -> None: ...


def _long(_: object) -> object:
    return "x" * 10_000


def _set(_: object) -> object:
    return {1}


def _true(_: object) -> object:
    return True


def _raise(_: object) -> object:
    raise ValueError("no key today")


@pytest.mark.parametrize(
    ("key", "reported"),
    [
        (_raise, "the key of unique raised ValueError: no key today"),
        (_long, "longer or other than at most 1000 bytes"),
        (_set, "is not a valid key: a key is a str"),
        (_true, "True is not a valid key"),
    ],
)
def test_a_key_that_can_not_be_had_fails_the_enqueue_alone(
    key: Callable[[object], object], reported: str
) -> None:
    made = job(name=f"unfit {reported}", unique=Unique(key=key))(_take)

    with pytest.raises(UniqueError, match=reported):
        made.with_args(1)


def test_an_argument_that_is_no_key_fails_the_enqueue_alone() -> None:
    with pytest.raises(LimitError, match=r"by_names: the key of limits_concurrency: "):
        by_names.with_args([1])
