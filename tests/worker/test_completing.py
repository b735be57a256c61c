"""A job that completes itself at every isolation level, and repeats its transaction."""

# pyright: reportPrivateUsage=false, reportUnusedImport=false

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
import sqlalchemy as sa
from psycopg import conninfo
from sqlalchemy.orm import Session as OrmSession

from enqueueing.conftest import _django  # noqa: F401 - a fixture, for Django's settings
from enqueueing.drivers import address
from jobsd.enqueueing import completion
from jobsd.errors import CompletionError
from jobsd.jobs.current import current_job
from jobsd.jobs.definition import job

from .bodies import gate, noted
from .effects import NOTE, URL

if TYPE_CHECKING:
    from collections.abc import Generator

    from rows import Rows

    from .conftest import MakeWorker

pytestmark = pytest.mark.usefixtures("_django", "effects")

Run = Callable[[str], object]

LEVELS = ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"]


@contextlib.contextmanager
def psycopg_connection(level: str) -> Generator[tuple[object, Run]]:
    with psycopg.connect(URL[0]) as connection:
        connection.isolation_level = psycopg.IsolationLevel[level.replace(" ", "_")]
        yield connection, lambda text: connection.execute(text.encode())


@contextlib.contextmanager
def session(driver: str, level: str) -> Generator[tuple[object, Run]]:
    url, arguments = address(driver, URL[0])
    engine = sa.create_engine(url, connect_args=arguments, isolation_level=level)
    try:
        with OrmSession(engine) as made, made.begin():
            yield made, lambda text: made.execute(sa.text(text))
    finally:
        engine.dispose()


@contextlib.contextmanager
def psycopg2_connection(level: str) -> Generator[tuple[object, Run]]:
    psycopg2: Any = importlib.import_module("psycopg2")
    with contextlib.closing(psycopg2.connect(URL[0])) as connection:
        connection.set_session(isolation_level=level)
        with connection:
            yield connection, lambda text: connection.cursor().execute(text)


@contextlib.contextmanager
def pg8000_connection(level: str) -> Generator[tuple[object, Run]]:
    pg8000: Any = importlib.import_module("pg8000.native")
    parts = conninfo.conninfo_to_dict(URL[0])
    host = str(parts.get("host") or "127.0.0.1")
    where: dict[str, Any] = {"host": host, "port": int(parts.get("port") or 5432)}
    if host.startswith("/"):
        where = {"unix_sock": f"{host}/.s.PGSQL.{where['port']}"}
    user = str(parts.get("user") or importlib.import_module("getpass").getuser())
    password = parts.get("password")
    connection = pg8000.Connection(user, password=password, database=parts["dbname"], **where)
    with contextlib.closing(connection):
        connection.run(f"START TRANSACTION ISOLATION LEVEL {level}")
        yield connection, connection.run
        connection.run("COMMIT")


@contextlib.contextmanager
def django_connection(level: str) -> Generator[tuple[object, Run]]:
    db: Any = importlib.import_module("django.db")
    transaction: Any = importlib.import_module("django.db.transaction")
    try:
        with transaction.atomic():
            db.connection.cursor().execute(f"SET TRANSACTION ISOLATION LEVEL {level}")
            yield db.connection, lambda text: db.connection.cursor().execute(text)
    finally:
        db.connections.close_all()


WAYS: dict[str, Callable[[str], AbstractContextManager[tuple[object, Run]]]] = {
    "psycopg": psycopg_connection,
    "psycopg2": psycopg2_connection,
    "pg8000": pg8000_connection,
    "django": django_connection,
    "Session over psycopg": partial(session, "psycopg"),
    "Session over psycopg2": partial(session, "psycopg2"),
    "Session over pg8000": partial(session, "pg8000"),
}


@job
def waits_beside() -> None:
    assert gate.wait(60)


def begin() -> None:
    """Let the test disturb the job's claim once the transaction has its snapshot."""
    noted.append("begun")
    waits_beside()


@job
def completes_in_a_block(way: str, level: str) -> None:
    with (
        WAYS[way](level) as (connection, run),
        current_job().completing(connection=connection),
    ):
        run(NOTE)
        current_job().progress(1, 2)
        begin()


@job
def repeats(way: str, level: str) -> None:
    for _ in range(2):
        try:
            with WAYS[way](level) as (connection, run):
                run(NOTE)
                begin()
                current_job().complete(connection=connection)
        except CompletionError as error:
            noted.append(str(error))
        else:
            return


def _of_a_claim_of_two(made: Any, *arguments: object) -> None:
    made.enqueue(*arguments)
    waits_beside.enqueue()


def _is_finished(rows: Rows) -> Callable[[], bool]:
    return lambda: (
        rows("SELECT outcome FROM jobsd.jobs ORDER BY id") == ["finished"] * 2
        and not rows("SELECT 1 FROM jobsd.claims")
    )


@pytest.mark.failure(
    "A job completes itself at REPEATABLE READ, and its worker changes its claim and its row"
    " meanwhile.",
    "In a block of `completing`, opened before the first statement, it completes always.",
)
@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("way", WAYS)
def test_a_block_opened_before_the_first_statement_completes_at_any_level(
    way: str, level: str, make_worker: MakeWorker, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = make_worker(threads=2)
    _of_a_claim_of_two(completes_in_a_block, way, level)
    with monkeypatch.context() as patch:
        patch.setattr("jobsd.performing.progress.EVERY_S", 0.0)
        worker.until(lambda: "begun" in noted)
        # Its progress would be written in these rounds.
        rounds = iter(range(5))
        worker.until(lambda: next(rounds, None) is None)
    worker.worker.poll()
    assert rows("SELECT progress FROM jobsd.jobs ORDER BY id") == [None, None]
    gate.set()

    worker.until(_is_finished(rows))

    assert rows("SELECT n FROM public.effects") == [1]
    assert rows("SELECT attempts FROM jobsd.jobs ORDER BY id") == [1, 1]
    worker.until(lambda: rows("SELECT progress -> 'done' FROM jobsd.jobs ORDER BY id")[0] == 1)


@pytest.mark.failure(
    "A job completes itself without a block in a transaction whose snapshot is too old.",
    "It is told so and which block helps; the transaction that it repeats completes it.",
)
@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("way", WAYS)
def test_a_snapshot_that_is_too_old_is_reported_and_the_repeated_transaction_completes(
    way: str, level: str, make_worker: MakeWorker, rows: Rows
) -> None:
    worker = make_worker(threads=2)
    _of_a_claim_of_two(repeats, way, level)
    worker.until(lambda: "begun" in noted)
    gate.set()

    worker.until(_is_finished(rows))

    refusals = [each for each in map(str, noted) if each != "begun"]
    assert len(refusals) == int(level != "READ COMMITTED")
    assert all("current_job().completing(connection=...)" in each for each in refusals)
    assert rows("SELECT n FROM public.effects") == [1]
    assert rows("SELECT attempts FROM jobsd.jobs ORDER BY id") == [1, 1]
    assert {each.shields for each in worker.worker.pool.seats()} == {0}
    assert not completion.BEGUN
