"""Heartbeats at chosen times, and a program whose default database is the test's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import pytest

from jobsd.jobs import client
from jobsd.jobs.client import Client

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobsd.database.connection import Session, Target


class Beat(Protocol):
    def __call__(self, minutes_ago: float, hostname: str = ...) -> None: ...


@pytest.fixture(autouse=True)
def default_client(target: Target) -> Iterator[Client]:
    made = Client(target)
    client.configure(client=made)
    yield made
    client.configure()


@pytest.fixture
def beat(session: Session) -> Beat:
    """Write a heartbeat of so many minutes ago."""

    def write(minutes_ago: float, hostname: str = "web-1") -> None:
        session.connection.execute(
            "INSERT INTO jobsd.heartbeat_logs (executed_at, environment, hostname)"
            " VALUES (now() - make_interval(secs => %s), 'test', %s)",
            (minutes_ago * 60, hostname),
        )

    return write
