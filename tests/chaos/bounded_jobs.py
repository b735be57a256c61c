"""Jobs that are bounded: in time, in number, by an event loop, by their own transaction."""

from __future__ import annotations

import asyncio
import os
import time

import psycopg

from chaos.jobs import ATTEMPTS, LIMITS, die_or_hold, fail, key_of, reported, work
from jobsd import Limit, Unique, current_job, job
from jobsd.jobs.policy import constant

TIMEOUT_S, KILL_AFTER_S = 0.2, 0.4
SEALED = {"chaos.sealed", "chaos.sealed_alone"}
"""The classes that end in a transaction of their own."""
TIMED = {"chaos.hasty"}
"""The classes that have a time limit."""
UNIQUE = {"chaos.once": 1}
"""The classes of which one of a key is there until it has finished, and how many may run."""


@job(name="chaos.brief", max_attempts=ATTEMPTS, backoff=constant(0.1), expires_in="1s")
def brief(n: int, seconds: float, how: str) -> None:
    """Be begun soon, or never."""
    work(n, seconds, how)


@job(
    name="chaos.hasty",
    max_attempts=ATTEMPTS,
    backoff=constant(0.1),
    timeout=TIMEOUT_S,
    kill_after=KILL_AFTER_S,
)
def hasty(n: int, seconds: float, how: str) -> None:
    """Be done soon, or be interrupted."""
    work(n, seconds, how)


@job(
    name="chaos.once",
    max_attempts=ATTEMPTS,
    backoff=constant(0.1),
    unique=Unique(key=key_of, until="finished"),
)
def once(n: int, seconds: float, how: str, key: str) -> None:
    """Be the only one of its key until it has ended."""
    work(n, seconds, how, f"chaos.once/{key}")


@job(
    name="chaos.next",
    max_attempts=ATTEMPTS,
    backoff=constant(0.1),
    unique=Unique(key=key_of, until="started"),
)
def following(n: int, seconds: float, how: str, key: str) -> None:
    """Be the only one of its key that waits."""
    work(n, seconds, how, f"chaos.next/{key}")


@job(name="chaos.airy", max_attempts=ATTEMPTS, backoff=constant(0.1))
async def airy(n: int, seconds: float, how: str) -> None:
    """Run on an event loop, where there is one."""
    with reported(n, how):
        die_or_hold(seconds, how)
        await asyncio.sleep(0 if how == "hold" else seconds)
        fail(how)


@job(name="chaos.sealed", max_attempts=ATTEMPTS, backoff=constant(0.1))
def sealed(n: int, seconds: float, how: str) -> None:
    """Leave something in the database, and end, in one transaction."""
    with psycopg.connect(
        os.environ["DATABASE_URL"], application_name="chaos job", connect_timeout=3
    ) as connection:
        connection.execute("INSERT INTO chaos.effects VALUES (%s)", (n,))
        work(n, seconds, how)
        current_job().complete(connection=connection)


@job(
    name="chaos.sealed_alone",
    max_attempts=ATTEMPTS,
    backoff=constant(0.1),
    limits_concurrency=Limit(to=LIMITS["chaos.sealed_alone"], key=key_of, duration=1),
)
def sealed_alone(n: int, seconds: float, how: str, key: str) -> None:
    """End in the transaction of what it leaves, and go on in its slot."""
    with reported(n, how, f"chaos.sealed_alone/{key}"):
        with psycopg.connect(
            os.environ["DATABASE_URL"], application_name="chaos job", connect_timeout=3
        ) as connection:
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            with current_job().completing(connection=connection):
                connection.execute("INSERT INTO chaos.effects VALUES (%s)", (n,))
        time.sleep(seconds)
