"""Jobs of every kind, and a role for each kind of grants."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import psycopg

from jobsd.database.connection import Target
from jobsd.enqueueing import client
from jobsd.enqueueing.client import Client
from jobsd.jobs.definition import job
from jobsd.jobs.limits import Limit
from jobsd.jobs.unique import Unique

NAMES = f"{__name__}.{{}}"
LATER = datetime(2099, 1, 1, tzinfo=UTC)


@job(queue="mail", priority=3, max_attempts=4)
def plain(n: object) -> None:
    """Do nothing."""


@job(limits_concurrency=Limit(to=2, key="n", duration="1m"))
def limited(n: object) -> None:
    """Do nothing."""


@job(limits_concurrency=Limit(to=1, on_conflict="discard"))
def dropped(n: object) -> None:
    """Do nothing."""


@job(unique=Unique())
def skipped(n: object) -> None:
    """Do nothing."""


@job(unique=Unique(on_conflict="raise"))
def raised(n: object) -> None:
    """Do nothing."""


@job(unique=Unique(key="n", until="started", on_conflict="replace", max_wait="1h"))
def replaced(n: object, m: object = 0) -> None:
    """Do nothing."""


@dataclass
class Roles:
    """One role for each kind of grants, by its name and its URL."""

    names: dict[str, str]
    urls: dict[str, str]

    def connect(self, kind: str) -> psycopg.Connection[tuple[Any, ...]]:
        return psycopg.connect(self.urls[kind], autocommit=True)

    def become(self, kind: str) -> None:
        """Enqueue as a role of this kind."""
        client.configure(client=Client(Target(self.urls[kind])))
