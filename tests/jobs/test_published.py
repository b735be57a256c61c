"""What is enqueued in SQL is as the definition says that a worker has published."""

from __future__ import annotations

import json
from datetime import date
from typing import TYPE_CHECKING, Any
from uuid import UUID

import psycopg
import pytest

from jobsd.arguments import arguments
from jobsd.jobs import published, registry
from jobsd.jobs.definition import job
from jobsd.jobs.limits import Limit
from jobsd.jobs.unique import Unique

if TYPE_CHECKING:
    from jobsd.database.connection import Session
    from rows import Rows

pytestmark = pytest.mark.usefixtures("default_client")


@job(name="p.plain", queue="mail", priority=-3, max_attempts=4, expires_in="1h", timeout="9s")
def plain(n: int = 0) -> None: ...


@job(name="p.one", limits_concurrency=Limit(2, key="order", duration="1h"))
def one(order: object, n: int = 0) -> None: ...


@job(
    name="p.two",
    limits_concurrency=Limit(key=("tenant", "order"), group="a/b~", on_conflict="discard"),
    unique=Unique(key=("order",), until="started", on_conflict="replace", max_wait="2h"),
)
def two(tenant: object, order: object = "none") -> None: ...


@job(name="p.all", unique=Unique(until=None, within="1h"))
def of_all(a: object, b: object = 1.5, *, c: object = None) -> None: ...


@job(name="p.rest", unique=Unique(key=("a", "order")))
def rest(a: object, *_more: object, order: object = 5, **_named: object) -> None: ...


@job(name="p.none", unique=Unique())
def none() -> None: ...


@job(name="p.whole", limits_concurrency=Limit(3), unique=Unique(key=lambda n: n))
def whole(n: int) -> None: ...


COLUMNS = (
    "queue_name, priority, max_attempts, retries_crash, expires_in, concurrency_key,"
    " concurrency_limit, concurrency_duration, on_conflict, unique_key, unique_until"
)
MADE: list[Any] = [plain, one, two, of_all, rest, none, whole]
CALLS: list[tuple[Any, tuple[Any, ...], dict[str, Any]]] = [
    (plain, (), {}),
    (plain, (1,), {}),
    (one, (7,), {}),
    (one, ("a/b~c",), {"n": 3}),
    (one, ("",), {}),
    (one, (None,), {}),
    (one, (UUID(int=5),), {}),
    (one, (), {"order": date(2030, 2, 1)}),
    (one, (("ann", "a/b~c", 7),), {}),
    (one, (("ann",),), {}),
    (one, ((),), {}),
    (one, (("ann", ("bob", UUID(int=5)), ()),), {}),
    (two, ("ann", -12), {}),
    (two, ("ann", ("a", 3)), {}),
    (two, ("bob",), {}),
    (two, (), {"order": "x y ü", "tenant": "ann"}),
    (of_all, (1,), {}),
    (of_all, ("ü",), {"c": [1, {"long": 1, "b": None}]}),
    (of_all, (1, 2), {"c": True}),
    (of_all, (1, {"$keywords": 1, "x": 2}), {}),
    (rest, (1, 2, 3, 4), {}),
    (rest, (1, 2, 3), {"order": "x", "other": 7}),
    (none, (), {}),
]


@pytest.fixture(autouse=True)
def _published(session: Session) -> None:
    published.publish(session, [each.definition for each in MADE])


@pytest.mark.parametrize(("made", "args", "kwargs"), CALLS)
def test_sql_stores_what_python_stores(
    made: Any, args: tuple[Any, ...], kwargs: dict[str, Any], rows: Rows
) -> None:
    by_python = made.enqueue(*args, **kwargs)
    (stored,) = rows(f"SELECT ROW({COLUMNS})::text FROM jobsd.jobs")
    rows("TRUNCATE jobsd.jobs, jobsd.unique_jobs, jobsd.ready_executions")
    rows("TRUNCATE jobsd.blocked_executions, jobsd.expirations")
    given = arguments.dump(args, kwargs)

    rows("SELECT jobsd.enqueue(%s, %s::jsonb)", made.definition.name, given)

    assert by_python.id
    assert rows(f"SELECT ROW({COLUMNS})::text FROM jobsd.jobs") == [stored]


UNORDERED = ["a", 10, 9, 1.5, "é", "z", "\U0001f600", "\uffff", None, {"$tuple": [1, 2]}]


@pytest.mark.parametrize("tag", ["$set", "$frozenset", "$dict"])
def test_a_set_is_one_key_in_whatever_order_sql_gives_it(tag: str, rows: Rows) -> None:
    items = [[item, 1] if tag == "$dict" else item for item in UNORDERED]
    ways = [[[1, {tag: items}]], [[1, {tag: items[::-1]}]]]
    for way in ways:
        rows("SELECT jobsd.enqueue('p.all', %s::jsonb)", json.dumps(way))
    of_python = of_all.definition.unique
    assert of_python is not None
    made = of_python.of("p.all", *arguments.load(json.dumps(ways[0])), of_all.definition.takes)
    assert made is not None

    assert rows("SELECT unique_key FROM jobsd.jobs") == [made.unique_key]


@pytest.mark.parametrize(
    ("given", "as_if"),
    [
        ({"$uuid": "00000000000000000000000000000ABC"}, UUID(int=0xABC)),
        (
            {"$tuple": [1, {"$uuid": "{00000000-0000-0000-0000-000000000ABC}"}]},
            (1, UUID(int=0xABC)),
        ),
    ],
)
def test_a_uuid_is_one_key_however_it_is_spelt(given: Any, as_if: object, rows: Rows) -> None:
    one.enqueue(as_if)
    rows("SELECT jobsd.enqueue('p.one', %s::jsonb)", json.dumps([given]))

    assert rows("SELECT count(DISTINCT concurrency_key) FROM jobsd.jobs") == [1]


def test_given_options_override_the_published_definition(rows: Rows) -> None:
    rows(
        "SELECT jobsd.enqueue('p.plain', queue => 'q', priority => 0, max_attempts => 1,"
        " expires_in => '2 h')"
    )
    rows("SELECT jobsd.enqueue('p.one', '[1]', concurrency_key => 'k', concurrency_limit => 9)")

    assert rows(
        "SELECT queue_name, priority, max_attempts, retries_crash,"
        " extract(epoch FROM expires_in), concurrency_key, concurrency_limit"
        " FROM jobsd.jobs ORDER BY id"
    ) == [("q", 0, 1, False, 7200, None, None), ("default", 0, 1, False, None, "k", 9)]


@pytest.mark.parametrize(
    ("call", "reported"),
    [
        ("'p.whole', '[1]'", "unique_key: its definition computes the key by a function"),
        ("'p.one', '[1.5]'", "concurrency_key: the argument order is not given, or no key"),
        ('\'p.one\', \'[{"$date": "2030-02-01", "x": 1}]\'', "the argument order is"),
        ("'p.one', '[{\"$tuple\": [1, [2]]}]'", "the argument order is not given, or no key"),
        ("'p.one', '[[1]]'", "concurrency_key: the argument order is not given, or no key"),
        ("'p.one', '[]'", "concurrency_key: the argument order is not given, or no key"),
    ],
)
def test_a_key_that_sql_can_not_compute_is_asked_for(
    call: str, reported: str, rows: Rows
) -> None:
    with pytest.raises(psycopg.errors.InvalidParameterValue, match=reported):
        rows(f"SELECT jobsd.enqueue({call})")

    key = "unique_key" if "whole" in call else "concurrency_key"
    assert rows(f"SELECT jobsd.enqueue({call}, {key} => 'k') > 0") == [True]


def test_the_same_is_not_published_again(rows: Rows, session: Session) -> None:
    published_at = "SELECT published_at FROM jobsd.definitions WHERE class_name = 'p.plain'"
    before = rows(published_at)

    published.publish(session, registry.definitions())

    assert rows(published_at) == before


NEW = {
    "queue_name": "letters",
    "priority": 9,
    "max_attempts": 5,
    "retries_crash": False,
    "expires_in": "0:01:00",
    "timeout": "0:00:08",
    "kill_after": "0:00:07",
    "result_ttl": "0:00:06",
    "positional": ["m"],
    "concurrency": {"function": True},
    "uniqueness": {"function": True},
}
TIMES = {"expires_in", "timeout", "kill_after", "result_ttl"}


@pytest.mark.parametrize("column", NEW)
def test_each_changed_column_of_a_definition_is_published(
    column: str, rows: Rows, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = published.published_row(plain.definition)
    changed = {**before, column: NEW[column]}

    def record(_definition: object) -> dict[str, Any]:
        return changed

    monkeypatch.setattr(published, "published_row", record)

    published.publish(session, [plain.definition])

    value = f"to_char({column}, 'FMHH24:MI:SS')" if column in TIMES else column
    read = f"SELECT {value} FROM jobsd.definitions WHERE class_name = 'p.plain'"
    assert before.get(column) != NEW[column]
    assert rows(read) == [NEW[column]]
