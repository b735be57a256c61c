"""A migration behind a transaction that somebody has left open: nobody else waits for it."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg import errors

from database.pgbouncer import pgbouncer
from enqueueing.ways import note
from harness.event_recorder import Emitted, EventRecorder, names
from jobsd.clock import monotonic
from jobsd.configuration.target import Database
from jobsd.daemon.tree.launch import LATER, _prepare
from jobsd.database import schema_locks
from jobsd.database import steps as steps_of_program
from jobsd.database.connection import Target
from jobsd.database.migrate import migrate
from jobsd.database.schema_locks import changed_tables
from jobsd.database.steps import Migration, migrations
from jobsd.enqueueing import client
from jobsd.enqueueing.client import Client
from jobsd.scoreboard.scoreboard import Scoreboard
from jobsd.supervisor.monitor import schema
from jobsd.supervisor.monitor.schema import Schema
from waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Generator

_STEP = """
ALTER TABLE jobsd.jobs ADD COLUMN one integer;
CREATE INDEX ON jobsd.ready_executions (queue_name, job_id);
ALTER TABLE jobsd.claims ADD COLUMN two integer;
"""
_STRONG = """
SELECT DISTINCT relation.relname
FROM pg_locks AS held JOIN pg_class AS relation ON relation.oid = held.relation
WHERE held.pid = pg_backend_pid() AND relation.relkind IN ('r', 'v', 'p')
    AND relation.relnamespace = 'jobsd'::regnamespace AND relation.relname = ANY (%s)
    AND held.mode ~ '(Exclusive|^Share)Lock$' AND held.mode !~ '^Row'
"""


@pytest.fixture
def old(empty_database: str, monkeypatch: pytest.MonkeyPatch) -> Target:
    """Tables that are older than the program, which has a step that changes hot ones."""
    made = Target(empty_database)
    migrate(made)
    steps = (*migrations(), Migration(9999, "the_next", _STEP))
    monkeypatch.setattr(steps_of_program, "migrations", lambda: steps)
    return made


class Enqueuing:
    """A program that enqueues all the time, and notes the longest that it had to wait."""

    def __init__(self) -> None:
        self.longest_s = 0.0
        self.count = 0
        self._over = threading.Event()

    def run(self) -> None:
        while not self._over.is_set():
            began = monotonic()
            note.enqueue(self.count)
            self.longest_s = max(self.longest_s, monotonic() - began)
            self.count += 1

    def end(self) -> None:
        self._over.set()


@contextlib.contextmanager
def _enqueuing(target: Target) -> Generator[Enqueuing]:
    client.configure(client=Client(target))
    enqueuing = Enqueuing()
    with ThreadPoolExecutor(1) as threads:
        running = threads.submit(enqueuing.run)
        wait_until(lambda: enqueuing.count > 10)
        try:
            yield enqueuing
        finally:
            enqueuing.end()
            running.result(60)
            client.configure()


def _be_impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema_locks, "LOCKED_RETRY_S", 2.0)
    monkeypatch.setattr(schema_locks, "PAUSE_S", 0.1)


@pytest.fixture
def reported(recorder: EventRecorder) -> Emitted:
    """The events of the database and its tables."""
    return recorder.events("database.", "schema.")


@contextlib.contextmanager
def _reader(target: Target, table: str) -> Generator[psycopg.Connection]:
    """Somebody who has read a table, and has not ended his transaction."""
    with psycopg.connect(target.url, application_name="a report") as reader:
        reader.execute(f"SELECT count(*) FROM jobsd.{table}".encode())
        yield reader


@pytest.mark.failure(
    "A migration meets a transaction that is open, and has read what it changes.",
    "It tries again until that ends, and reports once which session it is; no enqueue waits"
    " for a second.",
)
@pytest.mark.parametrize("table", ["jobs", "claims"])
@pytest.mark.parametrize("way", ["one", "three at once", "behind a pooler"])
def test_enqueues_do_not_wait_behind_a_migration(old: Target, table: str, way: str) -> None:
    pooled = way == "behind a pooler"
    reported: list[str] = []
    with (
        pgbouncer(old.url) if pooled else contextlib.nullcontext(old.url) as url,
        ThreadPoolExecutor(3) as threads,
        _enqueuing(old) as enqueuing,
    ):
        with _reader(old, table) as reader:
            several = 3 if way == "three at once" else 1
            mine = [
                threads.submit(migrate, Target(url), reported.append) for _ in range(several)
            ]
            wait_until(lambda: len(reported) == several, 20)
            so_far = enqueuing.count
            wait_until(lambda: enqueuing.count > so_far + 100)
            pid = reader.info.backend_pid
        applied = [each.result(30) for each in mine]

        assert [step for steps in applied for step in steps] == ["9999_the_next"]
        so_far = enqueuing.count
        wait_until(lambda: enqueuing.count > so_far + 10)

    assert enqueuing.longest_s < 1.0
    assert any(f"process {pid} of the server (a report, in" in said for said in reported)
    assert sum("(jobsd migrate, in" in said for said in reported) == several - 1


@pytest.mark.failure(
    "The transaction that keeps a migration waiting never ends.",
    "The migration gives up after a minute, and names the session; nothing was changed.",
)
def test_a_migration_does_not_try_for_ever(
    old: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema_locks, "LOCKED_RETRY_S", 1.0)
    with (
        _reader(old, "jobs"),
        pytest.raises(
            errors.LockNotAvailable, match=r"t be migrated: .*\(a report, in a trans"
        ),
    ):
        migrate(old)

    with psycopg.connect(old.url) as looking, pytest.raises(errors.UndefinedColumn):
        looking.execute("SELECT one FROM jobsd.jobs")


@pytest.mark.failure(
    "The transaction that keeps the migration of a start waiting does not end for a minute.",
    "The tree starts and waits, and its monitor keeps trying; that is not reported as an"
    " outage.",
)
def test_a_start_that_can_not_migrate_leaves_it_to_its_monitor(
    old: Target, monkeypatch: pytest.MonkeyPatch, reported: Emitted
) -> None:
    _be_impatient(monkeypatch)
    scoreboard = Scoreboard()

    with _reader(old, "jobs"):
        assert _prepare(Database(old), scoreboard, "", pauses=False) == LATER

    ((name, facts),) = reported
    assert name == "database.migration_blocked"
    assert "(a report, in a transaction" in str(facts["cause"])
    assert not scoreboard.outage_since_ns


@pytest.mark.failure(
    "Another session holds the tables that a monitor is to migrate.",
    "That is no outage: the session is reported once, and the migration tried again until it"
    " is released.",
)
def test_a_monitor_that_can_not_migrate_reports_it_once_and_tries_again(
    old: Target, monkeypatch: pytest.MonkeyPatch, reported: Emitted
) -> None:
    _be_impatient(monkeypatch)
    monkeypatch.setattr(schema, "AGAIN_S", 0.0)
    ours = Schema(old)

    with _reader(old, "jobs"):
        assert not ours.ready(lambda: None)
        assert not ours.ready(lambda: None)
    assert ours.ready(lambda: None)

    assert names(reported) == [
        "database.migration_blocked",
        "schema.outdated",
        "database.migrated",
    ]
    assert "(a report, in a transaction" in str(reported[1][1]["error"])


def test_a_step_that_is_no_more_than_functions_waits_for_no_table(
    old: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "CREATE FUNCTION jobsd.x() RETURNS integer LANGUAGE sql AS 'SELECT 1';"
    steps = (*migrations(), Migration(9999, "a_function", text))
    monkeypatch.setattr(steps_of_program, "migrations", lambda: steps)

    with _reader(old, "jobs"):
        assert migrate(old) == ["9999_a_function"]


def test_the_tables_changed_by_a_step_are_found_in_its_text() -> None:
    text = """
    -- ALTER TABLE jobsd.not_this ADD COLUMN x integer;
    ALTER TABLE ONLY jobsd.jobs ADD COLUMN x integer;
    CREATE UNIQUE INDEX named ON jobsd.claims (id);
    CREATE OR REPLACE VIEW jobsd.claimed_executions AS SELECT 1;
    CREATE TRIGGER t AFTER INSERT ON jobsd.pauses EXECUTE FUNCTION jobsd.f();
    CREATE FUNCTION jobsd.f() RETURNS void AS $body$ LOCK TABLE jobsd.nor_this $body$;
    CREATE TABLE jobsd.made (id bigint REFERENCES jobsd.processes);
    DROP TABLE IF EXISTS jobsd.jobs, jobsd.sleepers;
    """

    found = changed_tables(text)

    assert found == ["jobs", "claims", "claimed_executions", "pauses", "processes"]


@pytest.mark.parametrize("step", migrations(), ids=lambda step: f"{step.version:04d}")
def test_each_step_locks_no_table_that_it_has_not_asked_for(
    empty_database: str, step: Migration, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = [each for each in migrations() if each.version < step.version]
    if not before:
        return
    monkeypatch.setattr(steps_of_program, "migrations", lambda: tuple(before))
    migrate(Target(empty_database))
    with psycopg.connect(empty_database) as connection:
        tables = connection.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = 'jobsd'::regnamespace"
        ).fetchall()
        connection.execute(step.text.encode())
        locked = connection.execute(
            _STRONG.encode(), ([name for (name,) in tables],)
        ).fetchall()

    assert {name for (name,) in locked} <= {*changed_tables(step.text)}
