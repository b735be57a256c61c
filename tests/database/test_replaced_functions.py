"""A step that makes a function anew refuses no call, not for an instant."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import psycopg
import pytest

from enqueueing.ways import note
from jobsd.database.connection import Target
from jobsd.database.migrate import migrate
from jobsd.enqueueing import client
from jobsd.enqueueing.client import Client
from jobsd.errors import EnqueueError
from waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

_CALL = "SELECT jobsd.enqueue('X', '[]')"
_REPLACE = """
DO $do$ BEGIN
    EXECUTE (
        SELECT pg_get_functiondef(oid) FROM pg_proc
        WHERE proname = 'enqueue' AND pronamespace = 'jobsd'::regnamespace
    );
END $do$
"""
_BESIDE = """
DO $do$
DECLARE
    before regprocedure := (
        SELECT oid FROM pg_proc
        WHERE proname = 'enqueue' AND pronamespace = 'jobsd'::regnamespace
    );
    made text := pg_get_functiondef(before);
BEGIN
    EXECUTE format('ALTER FUNCTION %s RENAME TO enqueue_before_{n}', before);
    EXECUTE made;
END $do$
"""
"""As it is done where the parameters change, which CREATE OR REPLACE can't."""


@contextlib.contextmanager
def _calling(url: str, *, prepared: bool) -> Generator[Callable[[], int]]:
    """A program of somebody that calls all the time; gives how often it has."""
    over = threading.Event()
    calls = 0

    def call() -> None:
        nonlocal calls
        threshold = 0 if prepared else None
        with psycopg.connect(url, autocommit=True, prepare_threshold=threshold) as connection:
            while not over.is_set():
                connection.execute(_CALL)
                calls += 1

    with ThreadPoolExecutor(1) as threads:
        running = threads.submit(call)
        try:
            wait_until(lambda: calls > 10 or running.done())
            yield lambda: calls
        finally:
            over.set()
            running.result(60)


@pytest.mark.parametrize("way", [_REPLACE, _BESIDE], ids=["replaced", "beside"])
@pytest.mark.parametrize("prepared", [True, False])
@pytest.mark.failure(
    "A migration replaces `jobsd.enqueue` while programs call it.",
    "No call is refused: the function is replaced in place, or the old one stays beside it"
    " for calls that have begun",
)
def test_no_call_is_refused_while_its_function_is_replaced(
    empty_database: str, way: str, *, prepared: bool
) -> None:
    migrate(Target(empty_database))
    with (
        psycopg.connect(empty_database, autocommit=True) as owner,
        _calling(empty_database, prepared=prepared) as calls,
    ):
        before = calls()
        for n in range(60):
            owner.execute(way.format(n=n).encode())
        wait_until(lambda: calls() > before + 60)


@pytest.fixture
def refusing(empty_database: str) -> Generator[Callable[[int], int]]:
    """Tables that refuse so many inserts as the server does when a function has gone."""
    migrate(Target(empty_database))
    client.configure(client=Client(Target(empty_database)))
    with psycopg.connect(empty_database, autocommit=True) as owner:
        owner.execute("CREATE SEQUENCE refusals")

        def refuse(times: int) -> int:
            body = (
                f"BEGIN IF nextval('refusals') <= {times} THEN RAISE EXCEPTION"
                " 'cache lookup failed for function 4711' USING ERRCODE = 'XX000';"
                " END IF; RETURN NEW; END"
            )
            owner.execute(
                f"CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $${body}$$;"
                "CREATE TRIGGER refuse BEFORE INSERT ON jobsd.jobs"
                " FOR EACH ROW EXECUTE FUNCTION refuse()".encode()
            )
            return times

        yield refuse
        client.configure()


def _stored(url: str) -> int:
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT count(*) FROM jobsd.jobs").fetchone()
    return 0 if row is None else int(row[0])


@pytest.mark.parametrize("way", ["plain", "asynchronous"])
def test_a_call_that_met_a_replacement_is_made_once_more(
    empty_database: str, refusing: Callable[[int], int], way: str
) -> None:
    refusing(1)

    job = note.enqueue(1) if way == "plain" else asyncio.run(note.aenqueue(1))

    assert (job.state, _stored(empty_database)) == ("ready", 1)


@pytest.mark.parametrize("way", ["plain", "asynchronous"])
def test_a_call_that_is_refused_twice_fails(
    empty_database: str, refusing: Callable[[int], int], way: str
) -> None:
    refusing(2)

    with pytest.raises(EnqueueError, match=r"the job was not enqueued: cache lookup failed"):
        _ = note.enqueue(1) if way == "plain" else asyncio.run(note.aenqueue(1))

    assert _stored(empty_database) == 0
