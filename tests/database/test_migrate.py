"""The tables are made once, by one, and only by who may."""

from __future__ import annotations

import contextlib
import secrets
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from psycopg import conninfo, sql

from conftest import drop_database
from jobsd.database.connection import Session, Target
from jobsd.database.migrate import bring_up, migrate, require, version
from jobsd.database.steps import AHEAD, body, bookkeeping, ddl, migrations
from jobsd.errors import SchemaError


def test_an_empty_database_has_version_zero(empty_database: str) -> None:
    with contextlib.closing(Session(Target(empty_database), "test")) as session:
        assert version(session) == 0


def test_migrating_twice_applies_the_steps_once(empty_database: str) -> None:
    first = migrate(Target(empty_database))

    assert (len(first), migrate(Target(empty_database))) == (len(migrations()), [])


def test_five_at_once_apply_each_step_once(empty_database: str) -> None:
    target = Target(empty_database)

    with ThreadPoolExecutor(5) as pool:
        applied = list(pool.map(migrate, [target] * 5))

    assert sum(len(steps) for steps in applied) == len(migrations())


def test_another_schema_has_tables_of_its_own(empty_database: str) -> None:
    migrate(Target(empty_database, schema='odd "name'))

    with psycopg.connect(empty_database) as connection:
        row = connection.execute('SELECT count(*) FROM "odd ""name".jobs').fetchone()
    assert row == (0,)


def test_tables_that_are_missing_name_the_command_that_makes_them(empty_database: str) -> None:
    session = Session(Target(empty_database), "test")

    with pytest.raises(SchemaError, match="`db migrate`"):
        require(session)
    session.close()


@pytest.mark.parametrize("steps", [1, AHEAD])
def test_the_tables_of_the_next_program_are_worked_with(
    empty_database: str, steps: int
) -> None:
    _make_newer(empty_database, steps)

    with contextlib.closing(Session(Target(empty_database), "test")) as session:
        require(session)
    assert migrate(Target(empty_database)) == []


def test_tables_that_are_too_new_are_refused_and_left_as_they_are(empty_database: str) -> None:
    _make_newer(empty_database, AHEAD + 1)
    newest = migrations()[-1].version
    message = (
        f"are at version {newest + AHEAD + 1}, and this program works with versions {newest} to"
        f" {newest + AHEAD}: install a newer jobsd$"
    )

    with contextlib.closing(Session(Target(empty_database), "test")) as session:
        with pytest.raises(SchemaError, match=message):
            require(session)
        with pytest.raises(SchemaError, match=message):
            migrate(Target(empty_database))
        assert version(session) == newest + AHEAD + 1


def test_tables_of_the_program_before_are_outdated_until_they_are_migrated(
    empty_database: str,
) -> None:
    *before, last = migrations()
    with psycopg.connect(empty_database) as connection:
        steps = [bookkeeping("jobsd"), *(body(step, "jobsd") for step in before)]
        connection.execute("\n".join(steps).encode())

    with contextlib.closing(Session(Target(empty_database), "test")) as session:
        with pytest.raises(SchemaError, match=f"version {last.version} is needed"):
            require(session)
        assert migrate(Target(empty_database)) == [f"{last.version:04d}_{last.name}"]
        require(session)


@pytest.mark.parametrize("found", [1, migrations()[0].version - 1])
def test_tables_of_before_the_first_release_are_refused_with_what_to_do(
    empty_database: str, found: int
) -> None:
    with psycopg.connect(empty_database) as connection:
        row = f"INSERT INTO jobsd.schema_migrations (version, name) VALUES ({found}, 'old')"
        connection.execute((bookkeeping("jobsd") + row).encode())
    message = (
        f"are at version {found}, from before the first release, and this program begins with"
        f" version {migrations()[0].version}: .* drop the schema and run `db migrate`"
    )

    with contextlib.closing(Session(Target(empty_database), "test")) as session:
        with pytest.raises(SchemaError, match=message):
            require(session)
        with pytest.raises(SchemaError, match=message):
            migrate(Target(empty_database))
        assert version(session) == found


def _make_newer(url: str, steps: int) -> None:
    """Be a made-up program of later: it has applied as many steps more."""
    migrate(Target(url))
    row = "INSERT INTO jobsd.schema_migrations (version, name) VALUES (%s, 'of_later')"
    with psycopg.connect(url) as connection:
        connection.execute(row, (migrations()[-1].version + steps,))


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
def test_a_database_that_can_not_hold_every_text_is_refused(
    server_url: str, encoding: str
) -> None:
    name = f"jobsd_test_{encoding.lower()}_{secrets.token_hex(4)}"
    made = f"CREATE DATABASE {name} ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0"
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(made.encode())
    try:
        with pytest.raises(SchemaError, match=f"stores text as {encoding}.*ENCODING 'UTF8'"):
            migrate(Target(conninfo.make_conninfo(server_url, dbname=name)))
    finally:
        drop_database(server_url, name)


def test_a_role_that_may_not_migrate_learns_that_its_rights_are_the_reason(
    empty_database: str,
) -> None:
    target = Target(conninfo.make_conninfo(empty_database, user="jobsd_powerless"))
    with psycopg.connect(empty_database, autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS jobsd_powerless")
        connection.execute("CREATE ROLE jobsd_powerless LOGIN")
        name = sql.Identifier(connection.info.dbname)
        connection.execute(sql.SQL("REVOKE CREATE ON DATABASE {} FROM PUBLIC").format(name))
        try:
            with pytest.raises(SchemaError, match="This role may not: permission denied"):
                bring_up(target)
        finally:
            connection.execute("DROP ROLE jobsd_powerless")


def test_the_printed_ddl_makes_the_same_tables(empty_database: str) -> None:
    with psycopg.connect(empty_database) as connection:
        connection.execute(ddl("jobsd").encode())

    session = Session(Target(empty_database), "test")
    require(session)
    session.close()


def test_each_step_has_a_number_of_its_own() -> None:
    """Of two with one number, only the first would be applied."""
    versions = [step.version for step in migrations()]

    assert versions == sorted(set(versions))
