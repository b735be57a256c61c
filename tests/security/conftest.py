"""Roles that may do less than the daemon."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg import conninfo, sql

from jobsd.database.grants import KINDS, grants
from jobsd.enqueueing import client
from security.lesser import Roles

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobsd.database.connection import Target


@pytest.fixture(scope="module")
def made_roles(session_target: Target) -> Iterator[Roles]:
    """One role for each kind of grants, and one with none."""
    suffix = secrets.token_hex(4)
    names = {kind: f"jobsd_{kind.replace('-', '_')}_{suffix}" for kind in (*KINDS, "outsider")}
    with psycopg.connect(session_target.url, autocommit=True) as owner:
        for name in names.values():
            owner.execute(sql.SQL("CREATE ROLE {}").format(sql.Identifier(name)))
        # Each had everything before, and is to lose it.
        for kind in KINDS:
            owner.execute(grants("jobsd", names[kind]).encode())
            owner.execute(grants("jobsd", names[kind], kind).encode())
        outsider = sql.Identifier(names["outsider"])
        owner.execute(sql.SQL("GRANT USAGE ON SCHEMA jobsd TO {}").format(outsider))
    url = session_target.url
    yield Roles(
        names,
        {
            kind: conninfo.make_conninfo(url, options=f"-c role={name}")
            for kind, name in names.items()
        },
    )
    with psycopg.connect(url, autocommit=True) as owner:
        for name in names.values():
            role = sql.Identifier(name)
            owner.execute(sql.SQL("DROP OWNED BY {} CASCADE").format(role))
            owner.execute(sql.SQL("DROP ROLE {}").format(role))


@pytest.fixture
def lesser(made_roles: Roles, target: Target) -> Iterator[Roles]:
    """The same, with empty tables."""
    assert target.url, "the tables are empty"
    client.configure()
    yield made_roles
    client.configure()
