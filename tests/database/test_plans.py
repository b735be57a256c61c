"""The hot statements walk indexes, whatever the planner knew when it made their plans.

A worker prepares its statements while the tables are empty, and keeps the plans. So the
plans are made both on empty tables and on full ones, without looking at the parameters.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from jobsd.acts import inspect, listing
from jobsd.dispatcher import dispatching
from jobsd.dispatcher.due_cursor import HEAD
from jobsd.enqueueing import enqueue
from jobsd.states import claims, lost, ready, series
from jobsd.worker.claiming.cursor import ClaimCursor

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobsd.database.connection import Session
    from jobsd.database.statements import Statement

ROWS = 1_000_000
_BIG = {"jobs", "ready_executions", "scheduled_executions", "claims"}
_QUEUES = {"ready_executions", "scheduled_executions"}
_WALKS_ALL = {"Seq Scan", "Bitmap Heap Scan"}
_GATHERS = {"Sort", "Incremental Sort", "Hash", "Hash Join", "Merge Join", "Aggregate"}

_FILL = f"""
INSERT INTO jobsd.jobs (id, queue_name, class_name, scheduled_at)
    SELECT i, 'q' || i % 5, 'x', now() + interval '1 day'
    FROM generate_series(1, {ROWS}) AS i;
INSERT INTO jobsd.ready_executions (job_id, position, priority, queue_name)
    SELECT i, i, i % 3, 'q' || i % 5 FROM generate_series(1, {ROWS} / 2) AS i;
INSERT INTO jobsd.scheduled_executions (job_id, scheduled_at, priority, queue_name)
    SELECT i, now() + interval '1 day', 0, 'q' || i % 5
    FROM generate_series({ROWS} / 2 + 1, {ROWS}) AS i;
ANALYZE jobsd.jobs, jobsd.ready_executions, jobsd.scheduled_executions;
"""

_FEW = """
INSERT INTO jobsd.jobs (queue_name, class_name) SELECT 'q', 'x' FROM generate_series(1, 5);
INSERT INTO jobsd.claims (process_id, job_ids) VALUES (1, '{1}');
ANALYZE jobsd.jobs, jobsd.claims;
"""
_TURNS = (
    *("record", "record and claim", "claim from all", "claim from some", "claim from each"),
    *("claim first of all", "claim first of one"),
    "erase",
)

_PLACES = ClaimCursor().segments([None])
_NAMED = ClaimCursor().segments(["q1", "q3"])
_DONE = {
    "claim_ids": "{1,1}",
    "job_ids": "{1,2}",
    "started_us": "{100,100}",
    "ended_us": "{0,0}",
    "batch_ids": "{1}",
    "held": "{5}",
    "remaining": "{3}",
    "keep": True,
    "lock_wait": claims.LOCK_WAIT,
}
_REQUEST = {
    "limit": 500,
    "process_id": 1,
    "claim_id": 1,
    "asked_at": 0.0,
    "share": 4000,
    "budget": 2_000_000,
    "foreign": ["q1\ny"],
}
_ANY = {**_PLACES, **_REQUEST}
_SOME = {**_NAMED, **_REQUEST}
_ONE = {"queue_name": "q1", **_REQUEST}
_SERIES = {
    "until_turn": None,
    "until_priority": None,
    "until_position": None,
    "keys": ["a", "b"],
    "limit": 500,
    "depth": 500,
    "at_most": 100,
    "flowing": ["a"],
    "keep": True,
}
_RECORD = claims.record_statement(keep=True)
_ERASE = claims.record_statement(keep=False)
_HOT: dict[str, tuple[Statement, dict[str, Any]]] = {
    "claim from all": (ready.turn(None, ready.CLAIM_ANY), _ANY),
    "claim from some": (ready.turn(None, ready.CLAIM_NAMED), _SOME),
    "claim first of all": (ready.turn(None, ready.CLAIM_FIRST_ANY), _REQUEST),
    "claim first of one": (ready.turn(None, ready.CLAIM_FIRST_NAMED), _ONE),
    "record": (_RECORD.with_(claims.STATEMENTS["no_claim"]), _DONE),
    "erase": (_ERASE.with_(claims.STATEMENTS["no_claim"]), _DONE),
    "record and claim": (ready.turn(_RECORD, ready.CLAIM_ANY), {**_DONE, **_ANY}),
    "dispatch": (dispatching.STATEMENTS["dispatch"], {"limit": 500, **HEAD.parameters()}),
    "claim from each": (ready.turn(None, ready.CLAIM_EACH), _SOME),
    "keys of all": (series.KEYS_ANY, {**_ANY, **_SERIES}),
    "keys of some": (series.KEYS_NAMED, {**_SOME, **_SERIES}),
    "block from all": (series.BLOCK_ANY, {**_ANY, **_SERIES}),
    "block from some": (series.BLOCK_NAMED, {**_SOME, **_SERIES}),
    "survey of queues": (
        ready.STATEMENTS["survey"],
        {"prefixes": ["q"], "limit": ready.NAMES_MAX},
    ),
    "many paused jobs": (ready.STATEMENTS["paused_many"], {"many": ready.PAUSED_MANY}),
    "enqueue": (
        enqueue.STATEMENTS["at_once"],
        {
            "queue_name": "q",
            "class_name": "x",
            "arguments": "[]",
            "priority": 0,
            "max_attempts": 1,
            "retries_crash": False,
            "context": None,
            "always": False,
        },
    ),
}

_NOW = datetime(2026, 1, 1, tzinfo=UTC)
_PAGE = {"before": 2**63 - 1, "page": 100, "limit": 20}
_SHOWN: dict[str, tuple[Statement, dict[str, Any]]] = {
    "show": (inspect.STATEMENTS["find"], {"id": 1}),
    **{
        f"list {state or 'all'}": (
            listing.page_query(state, "rows"),
            {**listing.Filter(state).parameters(_NOW), **_PAGE},
        )
        for state in (None, "ready", "scheduled", "claimed", "finished")
    },
}
_ALL = {**_HOT, **_SHOWN}


@pytest.fixture(scope="module")
def plans(session_target: Any) -> Iterator[dict[str, dict[str, Any]]]:
    """The plans of the hot statements, on empty tables and on full ones."""
    from jobsd.database.connection import Session

    session = Session(session_target, "plans", deadline_s=120)
    session.connection.execute(
        "TRUNCATE jobsd.jobs, jobsd.ready_executions, jobsd.scheduled_executions"
    )
    session.connection.execute(
        "VACUUM jobsd.jobs, jobsd.ready_executions, jobsd.blocked_executions, jobsd.claims"
    )
    empty = {name: _plan(session, *hot) for name, hot in _ALL.items()}
    session.connection.execute(_FEW.encode(), prepare=False)
    few = {name: _plan(session, *_HOT[name]) for name in _TURNS}
    session.connection.execute("TRUNCATE jobsd.jobs, jobsd.claims")
    session.connection.execute(_FILL.encode(), prepare=False)
    full = {name: _plan(session, *hot) for name, hot in _ALL.items()}
    yield {"empty": empty, "few": few, "full": full}
    session.connection.execute(
        "TRUNCATE jobsd.jobs, jobsd.ready_executions, jobsd.scheduled_executions"
    )
    session.close()


def _plan(session: Session, statement: Statement, parameters: dict[str, Any]) -> Any:
    """Return the plan that is made without looking at the parameters."""
    names: list[str] = []

    def number(match: re.Match[str]) -> str:
        names.append(match[1]) if match[1] not in names else None
        return f"${names.index(match[1]) + 1}"

    text = re.sub(r"%\((\w+)\)s", number, statement.render("jobsd").decode())
    connection = session.connection
    connection.execute("SET plan_cache_mode = force_generic_plan")
    connection.execute(f"PREPARE hot AS {text}".encode(), prepare=False)
    given = ", ".join("%s" for _ in names)
    call = f"EXPLAIN (FORMAT JSON) EXECUTE hot{f'({given})' if names else ''}"
    values = [parameters[name] for name in names]
    from psycopg import ClientCursor

    found = ClientCursor(connection).execute(call.encode(), values).fetchone()
    connection.execute("DEALLOCATE hot", prepare=False)
    assert found is not None
    return found[0][0]["Plan"]


def _faults(node: dict[str, Any], above: tuple[str, ...] = ()) -> list[str]:
    """Return what of a plan would cost more the more rows there are."""
    kind, table = node["Node Type"], node.get("Relation Name", "")
    found = [f"{kind} on {table}"] if table in _BIG and kind in _WALKS_ALL else []
    if table in _QUEUES:
        # Going up from the index, a Limit must come before anything that gathers rows.
        nearest = next((one for one in reversed(above) if one in {*_GATHERS, "Limit"}), "Limit")
        found += [] if nearest == "Limit" else [f"{nearest} of {table} without a Limit below"]
    for child in node.get("Plans", []):
        apart = child.get("Parent Relationship") in {"InitPlan", "SubPlan"}
        found += _faults(child, () if apart else (*above, kind))
    return found


@pytest.mark.parametrize("state", ["empty", "full"])
@pytest.mark.parametrize("name", list(_HOT))
def test_a_hot_statement_walks_indexes(
    name: str, state: str, plans: dict[str, dict[str, Any]]
) -> None:
    plan = plans[state][name]

    assert _faults(plan) == [], json.dumps(plan, indent=1)


@pytest.mark.parametrize("state", ["empty", "few", "full"])
@pytest.mark.parametrize("name", _TURNS)
def test_a_turn_finds_jobs_by_their_ids(
    name: str, state: str, plans: dict[str, dict[str, Any]]
) -> None:
    plan = plans[state][name]

    assert {*_conditions(plan, "jobs")} == {True}, json.dumps(plan, indent=1)


def _conditions(node: dict[str, Any], table: str) -> Iterator[bool]:
    """Say of each read of a table whether it has a condition in the index."""
    if node.get("Relation Name") == table and "Scan" in node["Node Type"]:
        yield "Index Cond" in node
    for child in node.get("Plans", []):
        yield from _conditions(child, table)


@pytest.mark.parametrize("state", ["empty", "full"])
@pytest.mark.parametrize("name", list(_SHOWN))
def test_what_shows_jobs_reads_all_of_no_table_but_the_claims(
    name: str, state: str, plans: dict[str, dict[str, Any]]
) -> None:
    plan = plans[state][name]

    assert {*_faults(plan)} <= {"Seq Scan on claims"}, json.dumps(plan, indent=1)


@pytest.mark.parametrize(
    "table", ["ready_executions", "scheduled_executions", "blocked_executions", "expirations"]
)
def test_a_job_is_found_by_its_id_though_the_plan_is_from_an_empty_table(
    table: str, session: Session
) -> None:
    with psycopg.connect(session.target.url, autocommit=True) as cleaner:
        cleaner.execute(f"VACUUM ANALYZE jobsd.{table}".encode())

    query = f"EXPLAIN (FORMAT JSON) SELECT FROM jobsd.{table} WHERE job_id = 5"
    ((plans,),) = session.connection.execute(query.encode()).fetchall()

    assert plans[0]["Plan"]["Index Name"] == f"{table}_pkey"


@pytest.mark.parametrize(
    "table", ["ready_executions", "blocked_executions", "scheduled_executions"]
)
@pytest.mark.parametrize(
    "statement", [lost.STATEMENTS["some"], inspect.STATEMENTS["find"]], ids=["lost", "show"]
)
def test_the_place_of_a_job_is_found_by_its_id(
    statement: Statement, table: str, session: Session
) -> None:
    plan = _plan(session, statement, {"ids": [1, 2], "id": 1})

    assert {*_conditions(plan, table)} == {True}, json.dumps(plan, indent=1)


def test_the_names_of_queues_are_found_without_reading_all_rows(session: Session) -> None:
    session.connection.execute(
        "INSERT INTO jobsd.ready_executions SELECT i, i, 0, 'q' || i % 5"
        " FROM generate_series(1, 5000) i"
    )
    statement, parameters = _HOT["survey of queues"]
    explained = b"EXPLAIN (ANALYZE, FORMAT JSON) " + statement.render("jobsd")
    row = session.connection.execute(explained, parameters).fetchone()
    assert row is not None

    assert ready.survey(session).names == ["q0", "q1", "q2", "q3", "q4"]
    assert 5 <= _read(row[0][0]["Plan"]) < 100, json.dumps(row[0], indent=1)


def _read(node: dict[str, Any]) -> float:
    """Return how many rows were read from the tables that can be large."""
    own = node["Actual Rows"] * node["Actual Loops"] if node.get("Relation Name") in _BIG else 0
    return float(own) + sum(map(_read, node.get("Plans", [])))


def test_no_function_that_shuns_scans_is_compiled(session: Session) -> None:
    """To shun them, servers before 18 add ten thousand million to the cost of a plan.

    That is above `jit_above_cost`: in sessions where we set nothing (a caller's, or one behind
    a transaction pooler) the server would compile each such plan, for a fifth of a second.
    """
    query = """
        SELECT proname, 'jit=off' = ANY (proconfig)
        FROM pg_proc
        WHERE pronamespace = 'jobsd'::regnamespace AND 'enable_seqscan=off' = ANY (proconfig)
        """
    found: dict[str, bool] = dict(session.connection.execute(query).fetchall())

    assert {"hand_over", "cancel_jobs", "take_unique"} <= found.keys()
    assert [name for name, spared in found.items() if not spared] == []
