"""Two targets are one database if they reach the same tables, whatever their URLs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from psycopg import conninfo, errors

from conftest import database_on
from jobsd.database.connection import Session, Statement, Target
from jobsd.database.identity import are_one
from jobsd.errors import DatabaseUnreachableError
from ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def other(server_url: str) -> Iterator[str]:
    with database_on(server_url) as url:
        yield url


@pytest.fixture(params=["owner", "guest"])
def reading(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Roles that may read the control file of the server, and roles that may not."""
    fetch = Session.fetch

    def refuses(session: Session, statement: Statement) -> list[tuple[object, ...]]:
        if request.param == "guest" and statement.name == "identity":
            raise errors.InsufficientPrivilege
        return fetch(session, statement)

    monkeypatch.setattr(Session, "fetch", refuses)


@pytest.mark.usefixtures("reading")
def test_two_ways_to_a_database_are_one(empty_database: str) -> None:
    other_way = conninfo.make_conninfo(empty_database, application_name="shop")

    assert are_one(Target(empty_database), Target(other_way))


@pytest.mark.usefixtures("reading")
def test_two_databases_of_a_server_are_two(empty_database: str, other: str) -> None:
    assert not are_one(Target(empty_database), Target(other))


def test_two_schemas_of_a_database_are_two(empty_database: str) -> None:
    assert not are_one(Target(empty_database), Target(empty_database, "other"))


def test_equal_texts_need_no_connection() -> None:
    nowhere = f"postgresql://me@127.0.0.1:{free_port()}/shop"

    assert are_one(Target(nowhere), Target(nowhere))


def test_what_can_not_be_reached_is_not_compared(empty_database: str) -> None:
    nowhere = f"postgresql://me@127.0.0.1:{free_port()}/shop"

    with pytest.raises(DatabaseUnreachableError):
        are_one(Target(empty_database), Target(nowhere))
