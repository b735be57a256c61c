"""Heartbeats at chosen times."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import pytest

if TYPE_CHECKING:
    from rows import Rows


class Beat(Protocol):
    def __call__(self, minutes_ago: float, hostname: str = ...) -> None: ...


@pytest.fixture(autouse=True)
def _our_database(default_client: object) -> None:
    """Let each test of this folder use the default database."""


@pytest.fixture
def beat(rows: Rows) -> Beat:
    """Insert a heartbeat of so many minutes ago."""

    def insert(minutes_ago: float, hostname: str = "web-1") -> None:
        rows(
            "INSERT INTO jobsd.heartbeat_logs (executed_at, environment, hostname)"
            " VALUES (now() - make_interval(secs => %s), 'test', %s)",
            minutes_ago * 60,
            hostname,
        )

    return insert
