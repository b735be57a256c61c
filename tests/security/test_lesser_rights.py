"""Who may only enqueue, only read, or operate can do nothing else, however they try."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from psycopg import errors

from jobsd.enqueueing.client import enqueue_many
from security.lesser import LATER, NAMES, plain, replaced

if TYPE_CHECKING:
    from jobsd.database.connection import Session
    from rows import Rows
    from security.lesser import Roles

_RELATIONS = """
SELECT relname, relkind FROM pg_class
WHERE relnamespace = 'jobsd'::regnamespace AND relkind IN ('r', 'v', 'S')
"""
USUAL = (
    '"class_name": "x", "queue_name": "q", "arguments": "[]", "priority": 0, "max_attempts": 1'
)
UNIQUE = (
    ', "unique_key": "k", "unique_until": "started", "unique_conflict": "replace", "wait_s": 5'
)
_RIGHTS = ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER")


def _rights(owner: Session, role: str) -> set[tuple[str, str]]:
    """Return every right that a role has to a table, or to any of its columns."""
    found: set[tuple[str, str]] = set()
    for name, kind in owner.connection.execute(_RELATIONS).fetchall():
        asked = ("USAGE", "SELECT", "UPDATE") if kind == "S" else _RIGHTS
        for right in asked:
            ask = "has_sequence_privilege" if kind == "S" else "has_table_privilege"
            row = owner.connection.execute(
                f"SELECT {ask}(%s, %s, %s)".encode(), (role, f"jobsd.{name}", right)
            ).fetchone()
            columns = None
            if kind != "S" and right in {"SELECT", "INSERT", "UPDATE", "REFERENCES"}:
                columns = owner.connection.execute(
                    "SELECT has_any_column_privilege(%s, %s, %s)",
                    (role, f"jobsd.{name}", right),
                ).fetchone()
            if (row and row[0]) or (columns and columns[0]):
                found.add((name, right))
    return found


def test_an_enqueue_only_role_has_no_right_to_any_table(
    lesser: Roles, session: Session
) -> None:
    assert _rights(session, lesser.names["enqueue-only"]) == {("schema_migrations", "SELECT")}


def test_a_read_only_role_can_change_nothing(lesser: Roles, session: Session) -> None:
    rights = _rights(session, lesser.names["read-only"])

    assert {right for _, right in rights} == {"SELECT"}
    assert {("jobs", "SELECT"), ("job_states", "SELECT"), ("results", "SELECT")} <= rights


def test_an_operating_role_defines_no_task_and_no_version(
    lesser: Roles, session: Session
) -> None:
    rights = _rights(session, lesser.names["operate"])

    assert ("recurring_tasks", "INSERT") not in rights
    assert {right for name, right in rights if name == "schema_migrations"} == {"SELECT"}
    assert {right for name, right in rights if name in {"claims", "processes"}} == {"SELECT"}


@pytest.mark.failure(
    "A person who has the password of a role that may only enqueue tries to read or change"
    " jobs.",
    "The database refuses it.",
)
@pytest.mark.parametrize(
    "query",
    [
        "SELECT arguments FROM jobsd.jobs",
        "SELECT result FROM jobsd.results",
        "SELECT error FROM jobsd.attempts",
        "SELECT command FROM jobsd.recurring_tasks",
        "SELECT * FROM jobsd.job_states",
        "SELECT nextval('jobsd.jobs_id_seq')",
        "INSERT INTO jobsd.recurring_tasks (key, command) VALUES ('k', 'f()')",
        "INSERT INTO jobsd.ready_executions VALUES (1, 1, 0, 'default')",
        "INSERT INTO jobsd.jobs (queue_name, class_name) VALUES ('default', 'x')",
        "UPDATE jobsd.jobs SET arguments = '[]'",
        "DELETE FROM jobsd.jobs",
        "COPY jobsd.jobs TO STDOUT",
        "SELECT jobsd.retry(1)",
        "SELECT jobsd.discard(1)",
        "SELECT * FROM jobsd.store('[{}]')",
        "SELECT jobsd.take_unique('k', 1, 'finished', NULL)",
        "SELECT jobsd.hold_waiting(1, true, false)",
        "SELECT jobsd.give_back_unique('{k}', '{1}')",
        "ALTER FUNCTION jobsd.submit(jsonb) RESET search_path",
        "CREATE OR REPLACE FUNCTION jobsd.submit(jobs jsonb) RETURNS int LANGUAGE sql RETURN 1",
        "CREATE TABLE jobsd.mine (id int)",
    ],
)
def test_an_enqueue_only_role_is_refused_all_other_statements(
    lesser: Roles, query: str
) -> None:
    lesser.become("all")
    plain.enqueue("secret")

    with lesser.connect("enqueue-only") as web, pytest.raises(errors.InsufficientPrivilege):
        web.execute(query.encode())


def test_no_other_role_may_submit(lesser: Roles) -> None:
    for kind in ("outsider", "read-only", "operate"):
        with lesser.connect(kind) as other, pytest.raises(errors.InsufficientPrivilege):
            other.execute("SELECT * FROM jobsd.submit('[]')")


def test_every_function_that_runs_as_the_owner_is_closed(lesser: Roles, rows: Rows) -> None:
    assert lesser.names
    query = """
        SELECT
            proname,
            coalesce(proconfig::text, ''),
            coalesce(bool_or(acl.grantee = 0), true)
        FROM pg_proc
        LEFT JOIN LATERAL aclexplode(proacl) AS acl ON true
        WHERE pronamespace = 'jobsd'::regnamespace AND prosecdef
        GROUP BY pg_proc.oid, proname, proconfig
    """

    found = rows(query)

    assert {name for name, *_ in found} >= {"submit"}
    for name, settings, is_public in found:
        assert 'search_path=pg_catalog, pg_temp"' in settings, name
        assert not is_public, name


def test_names_of_the_caller_are_never_used(lesser: Roles, rows: Rows) -> None:
    """Temporary tables and functions have our names, and a search path finds them first."""
    with lesser.connect("enqueue-only") as web:
        web.execute(
            """
            CREATE TEMP TABLE jobs (id bigint, class_name text);
            CREATE TEMP TABLE unique_jobs (key text, job_id bigint);
            CREATE FUNCTION pg_temp.btrim(text) RETURNS text LANGUAGE plpgsql AS
                $$ BEGIN RAISE 'hijacked as %', current_user; END $$;
            CREATE TEMP TABLE fresh (id bigint);
            CREATE TYPE pg_temp.submitted AS (class_name text);
            CREATE FUNCTION pg_temp.clock_timestamp() RETURNS timestamptz LANGUAGE plpgsql AS
                $$ BEGIN RAISE 'hijacked as %', current_user; END $$;
            SET search_path = pg_temp, pg_catalog;
            """
        )
        web.execute("SELECT * FROM jobsd.submit(%s)", (f"[{{{USUAL}{UNIQUE}}}]",))
        web.execute("SELECT * FROM jobsd.submit(%s)", (f'[{{{USUAL}, "wait_s": 5}}]',))

    assert rows("SELECT class_name FROM jobsd.jobs") == ["x", "x"]


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ('"class_name": "RecurringCommandJob"', "commands are enqueued by their tasks alone"),
        ('"class_name": null', "class_name"),
        ('"queue_name": "*"', "queue"),
        ('"arguments": "7"', "array or object"),
        ('"priority": null', "priority"),
        ('"max_attempts": 0', "max_attempts"),
        ('"wait_s": 1e12', "wait"),
        ('"wait_until": "infinity"', "wait"),
        ('"key": "k", "to": 0, "on_conflict": "block"', "limit"),
        ('"key": "k", "to": 1, "on_conflict": "x"', "on_conflict"),
        ('"key": "k", "to": 1, "on_conflict": "block", "duration": "-1 s"', "duration"),
        ('"unique_key": "k", "unique_conflict": "skip"', "unique_until"),
        (
            '"unique_key": "k", "unique_until": "finished", "unique_conflict": "replace"',
            "on_conflict",
        ),
    ],
)
def test_submitted_jobs_are_checked(lesser: Roles, given: str, error: str) -> None:
    with (
        lesser.connect("enqueue-only") as web,
        pytest.raises(errors.InvalidParameterValue, match=error),
    ):
        # Of two of one name, the last counts.
        web.execute("SELECT * FROM jobsd.submit(%s)", (f"[{{{USUAL}, {given}}}]",))


@pytest.mark.parametrize("key", ["[]", "[null]", "{}", "7", "false"])
def test_a_submitted_unique_key_is_never_overlooked(
    lesser: Roles, rows: Rows, key: str
) -> None:
    given = f'{{{USUAL}{UNIQUE}, "unique_key": {key}}}'

    with lesser.connect("enqueue-only") as web:
        web.execute("SELECT * FROM jobsd.submit(%s)", (f"[{given}, {given}]",))

    assert rows("SELECT unique_key FROM jobsd.jobs") == [key]


@pytest.mark.parametrize("given", ['{"class_name": "x"}', "[1]", "[[]]", '"x"', "null"])
def test_a_submitted_value_that_is_no_list_of_jobs_is_refused(
    lesser: Roles, given: str
) -> None:
    with lesser.connect("enqueue-only") as web, pytest.raises(errors.DataError):
        web.execute("SELECT * FROM jobsd.submit(%s)", (given,))


@pytest.mark.parametrize(
    "other", [pytest.param("", id="all at once"), pytest.param(UNIQUE, id="one by one")]
)
def test_of_a_list_with_one_faulty_job_none_is_stored(
    lesser: Roles, rows: Rows, other: str
) -> None:
    """The first fault is told, whatever a later one would have overflowed."""
    faults = ('"max_attempts": 0', '"wait_s": 1e300')
    given = [f"{{{USUAL}{other}}}", *(f"{{{USUAL}, {fault}}}" for fault in faults)]
    with (
        lesser.connect("enqueue-only") as web,
        pytest.raises(errors.InvalidParameterValue, match="max_attempts"),
    ):
        web.execute("SELECT * FROM jobsd.submit(%s)", (f"[{','.join(given)}]",))

    assert rows("SELECT id FROM jobsd.jobs") == []


def test_a_list_is_stored_in_its_order(lesser: Roles, rows: Rows) -> None:
    lesser.become("enqueue-only")

    stored = enqueue_many(plain.with_args(number) for number in range(2500))

    found = rows("SELECT id, arguments FROM jobsd.jobs ORDER BY id")
    assert found == [(each.id, [number]) for number, each in enumerate(stored)]
    ready = rows("SELECT job_id FROM jobsd.ready_executions ORDER BY position")
    assert ready == [each.id for each in stored]


def test_a_job_that_was_due_long_ago_may_run_now(lesser: Roles, rows: Rows) -> None:
    lesser.become("enqueue-only")
    first = datetime.min.replace(tzinfo=UTC)

    (early,) = enqueue_many([plain.using(wait_until=first).with_args(1)])

    assert early.state == "ready"
    assert rows("SELECT count(*) FROM jobsd.ready_executions") == [1]
    assert rows("SELECT scheduled_at > now() - interval '101 years' FROM jobsd.jobs") == [True]


def test_a_job_of_another_class_is_not_replaced(lesser: Roles, rows: Rows) -> None:
    lesser.become("all")
    kept = replaced.using(wait_until=LATER).enqueue(1, "mine")
    (key,) = rows("SELECT unique_key FROM jobsd.jobs")

    with (
        lesser.connect("enqueue-only") as web,
        pytest.raises(errors.InsufficientPrivilege, match="of another class"),
    ):
        web.execute(
            "SELECT jobsd.enqueue('evil', '[]', unique_key => %s, unique_until => 'started',"
            " unique_on_conflict => 'replace')",
            (key,),
        )

    assert rows("SELECT id, class_name, scheduled_at FROM jobsd.jobs") == [
        (kept.id, NAMES.format("replaced"), LATER)
    ]
