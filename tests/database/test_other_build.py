"""Tables that another build has made are told from ours by the hashes of their steps."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import psycopg
import pytest

from jobsd.database import migrate as migrating
from jobsd.database.connection import Session, Target
from jobsd.database.migrate import bring_up, migrate, recognize, require
from jobsd.database.other_build import OtherBuildError, unlike_tables
from jobsd.database.statements import Statement
from jobsd.database.steps import AHEAD, ddl, latest_version, migrations, statements_hash
from jobsd.enqueueing import async_pool
from jobsd.enqueueing.client import Client
from jobsd.errors import SchemaError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_STEP = """
-- What it's for.
CREATE TABLE jobsd.t (a text DEFAULT 'x  -- y', "b  c" integer);
CREATE FUNCTION jobsd.f() RETURNS text LANGUAGE sql AS $$
    SELECT E'it\\'s --' || 'a ''quoted'' /* text */';  -- it isn't one
$$;
"""


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("-- What it's for.\n", ""),
        ("-- What it's for.", "/* What * it's\n for. */"),
        ("  -- it isn't one", "\n    -- it's none"),
        ("    SELECT", "\tSELECT"),
        ("$$;", "$$\n;"),
        (" (a text", "(\n    a text"),
        ("|| 'a", "||'a"),
    ],
)
def test_comments_and_blanks_do_not_count(old: str, new: str) -> None:
    assert old in _STEP
    assert statements_hash(_STEP.replace(old, new)) == statements_hash(_STEP)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("'x  -- y'", "'x -- y'"),
        ("'x  -- y'", "'x  --  y'"),
        ('"b  c"', '"b c"'),
        ("/* text */", "/* texts */"),
        ("--' ||", "' ||"),
        ("''quoted''", "'' quoted''"),
        ("RETURNS text", "RETURNS texts"),
        ("f()", "F()"),
        ("a text DEFAULT", "atext DEFAULT"),
        ("$$;\n", "$$\n"),
    ],
)
def test_any_other_change_changes_the_hash(old: str, new: str) -> None:
    assert old in _STEP
    assert statements_hash(_STEP.replace(old, new)) != statements_hash(_STEP)


def test_each_step_has_a_hash_of_its_own_statements() -> None:
    hashes = [step.hash for step in migrations()]

    assert hashes == [statements_hash(step.text) for step in migrations()]
    assert len(set(hashes)) == len(hashes)


@pytest.fixture
def made(empty_database: str) -> Iterator[Session]:
    """A session on tables of our own."""
    migrate(Target(empty_database))
    with contextlib.closing(Session(Target(empty_database), "test")) as session:
        yield session


def _say(session: Session, statement: str) -> None:
    session.connection.execute(statement.encode())


def _migrate(session: Session) -> object:
    return migrate(session.target)


def _nothing_found(_session: Session) -> int:
    return 0


OTHERS = {
    "with another hash": "UPDATE jobsd.schema_migrations SET statements_hash = 'other'",
    "of before there were hashes": "ALTER TABLE jobsd.schema_migrations DROP statements_hash",
    "with no hash": "UPDATE jobsd.schema_migrations SET statements_hash = NULL",
}


def test_tables_made_by_hand_are_ours_too(empty_database: str) -> None:
    with psycopg.connect(empty_database) as connection:
        connection.execute(ddl("jobsd").encode())

    with contextlib.closing(Session(Target(empty_database), "test")) as session:
        require(session)
        recognize(session)
        assert migrate(session.target) == []


@pytest.mark.parametrize("others", OTHERS.values(), ids=OTHERS)
@pytest.mark.parametrize("check", [require, recognize, _migrate])
def test_tables_of_another_build_are_refused(
    made: Session, others: str, check: Callable[[Session], object]
) -> None:
    _say(made, others)
    title = migrations()[0].title

    with pytest.raises(OtherBuildError, match=f"another build .*: {title} differs") as refused:
        check(made)

    assert """`db psql -c 'DROP SCHEMA "jobsd" CASCADE'`""" in str(refused.value)
    assert refused.value.remedy == ""


@pytest.mark.parametrize("others", OTHERS.values(), ids=OTHERS)
def test_a_start_is_refused_and_leaves_them_as_they_are(made: Session, others: str) -> None:
    _say(made, others)
    before = made.connection.execute("SELECT * FROM jobsd.schema_migrations").fetchall()

    with pytest.raises(OtherBuildError):
        bring_up(made.target)

    assert made.connection.execute("SELECT * FROM jobsd.schema_migrations").fetchall() == before


def test_a_step_that_only_the_tables_have_is_judged_by_its_version(made: Session) -> None:
    later = "INSERT INTO jobsd.schema_migrations VALUES (%s, 'later', now(), 'other')"
    made.connection.execute(later, (latest_version() + AHEAD,))

    require(made)
    recognize(made)

    made.connection.execute(later, (latest_version() + AHEAD + 1,))
    with pytest.raises(SchemaError, match="install a newer jobsd") as refused:
        require(made)
    assert not isinstance(refused.value, OtherBuildError)
    # A process that runs was there before: it goes on.
    recognize(made)


def test_tables_that_are_not_there_are_of_no_other_build(empty_database: str) -> None:
    session = Session(Target(empty_database), "test")
    with pytest.raises(SchemaError, match="are missing") as refused:
        recognize(session)
    session.close()
    assert not isinstance(refused.value, OtherBuildError)


def test_a_migration_that_another_build_has_won_is_refused(
    made: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    _say(made, OTHERS["with another hash"])
    monkeypatch.setattr(migrating, "version", _nothing_found)

    with pytest.raises(OtherBuildError):
        migrate(made.target)


@pytest.mark.parametrize(
    ("change", "statement"),
    [
        ("DROP TABLE jobsd.pauses CASCADE", "SELECT FROM jobsd.pauses"),
        ("ALTER TABLE jobsd.pauses RENAME reason TO why", "SELECT reason FROM jobsd.pauses"),
        ("ALTER FUNCTION jobsd.cancel RENAME TO stop", "SELECT jobsd.cancel(1)"),
        ("DROP SCHEMA jobsd CASCADE", "SELECT FROM jobsd.pauses"),
    ],
)
def test_a_program_raises_the_missing_column_of_the_tables(
    made: Session, change: str, statement: str
) -> None:
    _say(made, change)
    client = Client(made.target)

    said = f"{LACKS} .* does not exist; run `db migrate`"
    with pytest.raises(SchemaError, match=said), client.session() as session:
        session.fetch(Statement("ours", statement))
    with pytest.raises(SchemaError, match=said):
        asyncio.run(_ask(client, statement))
    client.close()


LACKS = "the tables in schema 'jobsd' are missing, or another build's:"


async def _ask(client: Client, statement: str) -> None:
    async with async_pool.connection_of(client) as connection:
        await connection.fetch_prepared(Statement("ours", statement), {})


def test_a_schema_error_names_the_missing_column_in_one_line() -> None:
    error = unlike_tables("jobsd", psycopg.errors.UndefinedColumn("column x\nLINE 1"))

    assert str(error) == (
        "the tables in schema 'jobsd' are missing, or another build's: column x; run"
        " `db migrate`"
    )
