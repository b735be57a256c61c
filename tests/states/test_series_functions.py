"""The two functions of a claim of limited jobs, and what a worker wants of them, each alone."""

from __future__ import annotations

import re
from importlib.resources import files
from itertools import count, groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from enqueueing.placed import enqueue
from jobsd.states.series import BLOCK_NAMED, KEYS_NAMED, Held, Met, Shape, wanted

if TYPE_CHECKING:
    from jobsd.database.connection import Session, Target

pytestmark = pytest.mark.usefixtures("default_client")

_FIRST = """
    SELECT key, slots, coalesce(job_ids, '{}'), unknown
    FROM jobsd.first_jobs(
        1, %(keys)s, %(claims)s, %(depths)s, %(deep)s, %(overdue)s, true, '{*}'
    )
    ORDER BY rank
    """
_CLAIM = """
    SELECT claim_id, job_id
    FROM jobsd.claim_series(
        1, %(keys)s, %(claims)s, %(sizes)s, %(depths)s, %(deep)s, %(limit)s, %(threads)s,
        %(drawn)s, %(overdue)s, true, '{*}', 0, 1000, 1000
    )
    WHERE job_id IS NOT NULL
    """
_drawn = count(1)


def _asked(*keys: str, **given: Any) -> dict[str, Any]:
    size = len(keys)
    return {
        "keys": list(keys),
        "claims": [None] * size,
        "sizes": [None] * size,
        "depths": [10] * size,
        "deep": [True] * size,
        "limit": 100,
        "threads": 4,
        "drawn": next(_drawn) << 40,
        "overdue": ["nothing"],
        **given,
    }


def _first(session: Session, *keys: str, **given: Any) -> list[tuple[Any, ...]]:
    return session.connection.execute(_FIRST.encode(), _asked(*keys, **given)).fetchall()


def _claim(session: Session, *keys: str, **given: Any) -> list[list[int]]:
    """Return the jobs of each claim, in order."""
    rows = session.connection.execute(_CLAIM.encode(), _asked(*keys, **given)).fetchall()
    return [[job for _, job in claim] for _, claim in groupby(rows, itemgetter(0))]


def _slots(session: Session) -> list[tuple[Any, ...]]:
    return session.connection.execute(
        "SELECT concurrency_key, slot, job_ids FROM jobsd.claims ORDER BY 1, 2"
    ).fetchall()


def _hold(session: Session, key: str, slot: int) -> None:
    session.connection.execute(
        "INSERT INTO jobsd.claims (process_id, concurrency_key, slot, job_ids)"
        " VALUES (2, %s, %s, '{0}')",
        (key, slot),
    )


def test_the_first_jobs_of_each_key_are_returned_as_deep_as_asked(session: Session) -> None:
    jobs = [enqueue(key="a") for _ in range(3)]
    other = enqueue(key="b")

    found = _first(session, "k/b", "k/a", "k/none", depths=[10, 2, 10])

    assert found == [("k/b", 1, [other], None), ("k/a", 1, jobs[:2], None)]


def test_of_a_key_that_is_not_deep_only_a_single_job_is_taken(session: Session) -> None:
    several = [enqueue(key="a") for _ in range(2)]
    single = enqueue(key="b")

    found = _first(session, "k/a", "k/b", depths=[2, 2], deep=[False, False])

    assert found == [("k/a", 1, [], None), ("k/b", 1, [single], None)]
    assert _first(session, "k/a") == [("k/a", 1, several, None)]


def test_the_jobs_behind_a_locked_one_stay(session: Session, target: Target) -> None:
    first, second, third = (enqueue(key="a") for _ in range(3))

    with psycopg.connect(target.url) as other:
        lock = "SELECT FROM jobsd.blocked_executions WHERE job_id = %s FOR UPDATE"
        other.execute(lock, (second,))
        found = _first(session, "k/a")

    assert found == [("k/a", 1, [first], None)]
    assert _first(session, "k/a") == [("k/a", 1, [first, second, third], None)]


def test_a_slot_is_left_for_a_job_of_another_worker(session: Session) -> None:
    theirs = enqueue(key="a", to=2)
    ours = enqueue(key="a", to=2)
    session.connection.execute(
        "UPDATE jobsd.jobs SET class_name = 'y' WHERE id = %s", (theirs,)
    )

    assert _first(session, "k/a") == [("k/a", 1, [ours], theirs)]
    assert _first(session, "k/a", overdue=["nothing", "y"]) == [
        ("k/a", 2, [theirs, ours], None)
    ]


def test_a_key_has_the_slots_that_no_claim_holds(session: Session) -> None:
    job = enqueue(key="a", to=3)
    _hold(session, "k/a", 2)

    assert _first(session, "k/a") == [("k/a", 2, [job], None)]


def test_several_slots_get_the_next_jobs_in_turn(session: Session) -> None:
    jobs = [enqueue(key="a", to=3) for _ in range(5)]
    _hold(session, "k/a", 2)

    claims = _claim(session, "k/a")

    assert claims == [jobs[::2], jobs[1::2]]
    assert _slots(session) == [("k/a", 1, jobs[::2]), ("k/a", 2, [0]), ("k/a", 3, jobs[1::2])]


def test_a_claim_takes_as_many_jobs_as_its_limit_in_the_order_of_the_keys(
    session: Session,
) -> None:
    first = [enqueue(key="a") for _ in range(2)]
    second = [enqueue(key="b") for _ in range(2)]
    enqueue(key="c")

    claims = _claim(session, "k/a", "k/b", "k/c", limit=3)

    assert claims == [first, second[:1]]


def test_a_key_gets_no_more_series_than_threads(session: Session) -> None:
    jobs = [enqueue(key="a", to=8) for _ in range(4)]

    assert _claim(session, "k/a", threads=2) == [jobs[::2], jobs[1::2]]


@pytest.mark.parametrize("size", [1, 2])
def test_a_claim_gets_more_jobs_where_it_is_as_its_worker_believes(
    size: int, session: Session
) -> None:
    jobs = [enqueue(key="a") for _ in range(3)]
    _claim(session, "k/a", depths=[1])
    ((claim_id,),) = session.connection.execute("SELECT id FROM jobsd.claims").fetchall()

    claims = _claim(session, "k/a", claims=[claim_id], sizes=[size])

    gets_more = size == 1
    assert claims == ([jobs[1:]] if gets_more else [])
    assert _slots(session) == [("k/a", 1, jobs if gets_more else jobs[:1])]


@pytest.mark.parametrize("thinned", [False, True])
def test_plans_from_empty_tables_find_all_rows_by_their_ids_and_keys(
    session: Session, *, thinned: bool
) -> None:
    def read() -> int:
        ((rows,),) = session.connection.execute(
            "SELECT sum(seq_tup_read + coalesce(idx_tup_fetch, 0))"
            " FROM pg_stat_xact_user_tables WHERE schemaname = 'jobsd'"
        ).fetchall()
        return int(rows)

    if thinned:
        # The server takes the tables for empty ones, whose indexes cost nothing to walk.
        _fill(session)
        session.connection.execute("DELETE FROM jobsd.claims WHERE id < 5000")
        session.connection.execute("DELETE FROM jobsd.jobs WHERE queue_name = 'q'")
    for table in ("claims", "jobs", "blocked_executions"):
        session.connection.execute(f"VACUUM ANALYZE jobsd.{table}".encode())
    session.connection.execute("DELETE FROM jobsd.claims")
    for _ in range(10):
        assert _claim(session, "k/none", claims=[5], sizes=[1]) == []
    _fill(session)
    jobs = [enqueue(key="k5") for _ in range(3)]

    with session.connection.transaction():
        before = read()
        claims = _claim(session, "k/k5", claims=[5], sizes=[1])
        rows = read() - before

    assert claims == [jobs]
    assert rows < 100, "measured: 25"


def _fill(session: Session) -> None:
    session.connection.execute(
        "INSERT INTO jobsd.claims (id, process_id, job_ids, concurrency_key, slot)"
        " SELECT i, 1, ARRAY[-i], 'k/k' || i, 1 FROM generate_series(1, 5000) AS i"
    )
    session.connection.execute(
        "INSERT INTO jobsd.jobs (queue_name, class_name) SELECT 'q', 'x'"
        " FROM generate_series(1, 5000)"
    )


_MET = Met(walked=9, open=3, free=(("a", 1), ("b", 5), ("c", 1)))
_SHAPE = Shape(long=250, deep=2, threads=4, singles=True)


def test_the_depth_of_a_key_is_its_share_of_the_limit() -> None:
    asked = wanted(_MET, (), _SHAPE, limit=100)

    assert asked["keys"] == ["a", "b", "c"]
    # Half of the limit for each series, of which no key has more than threads.
    assert asked["depths"] == "{50,200,2}"
    assert asked["deep"] == [True, True, False]


def test_a_series_is_no_longer_than_it_may_be() -> None:
    assert wanted(_MET, (), _SHAPE._replace(long=3), limit=100)["depths"] == "{3,12,2}"


def test_claims_of_the_worker_come_last_and_take_their_share() -> None:
    held = Held(7, "d", size=2, room=30)
    given = ["a", "d"], [None, 7], [None, 2]

    asked = wanted(Met(open=1, free=(("a", 1),)), [held], _SHAPE, limit=100)

    assert [asked[each] for each in ("keys", "claims", "sizes")] == [*given]
    assert (asked["depths"], asked["deep"]) == ("{50,30}", [True, True])


def test_keys_that_are_not_deep_are_left_where_single_jobs_do_not_count() -> None:
    assert wanted(_MET, (), _SHAPE._replace(singles=False), limit=100)["keys"] == ["a", "b"]


_FILE = files("jobsd.database.migrations").joinpath("0050_tables/9_series.sql")
_FUNCTIONS = [part for part in _FILE.read_text().split("\n\n") if "CREATE FUNCTION" in part]


@pytest.mark.parametrize(
    "text",
    [KEYS_NAMED.text, BLOCK_NAMED.text, *_FUNCTIONS],
    ids=["keys", "block", "first_jobs", "claim_series"],
)
def test_each_part_can_be_read_at_once(text: str) -> None:
    expressions = re.findall(r"(?:WITH|\)?,)\s+\w+ AS (?:MATERIALIZED )?\(", text)

    assert text.count("\n") <= 150
    assert 2 <= len(expressions) <= 12
