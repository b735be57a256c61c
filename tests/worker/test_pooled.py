"""A worker behind a transaction pooler, where nothing that a claim needs stays set."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from database.pgbouncer import pgbouncer
from jobsd.database.connection import Target
from jobsd.enqueueing.client import enqueue_many
from jobsd.jobs.definition import job
from jobsd.jobs.limits import Limit

from .bodies import note, noted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rows import Rows

    from .conftest import MakeWorker


@job(limits_concurrency=Limit(to=2, key=lambda n: n % 3))
def note_in_turn(n: int) -> None:
    note.perform_now(n)


@pytest.fixture
def planned(rows: Rows) -> Iterator[None]:
    """Let the server tell with which settings each statement works that changes a claim."""
    rows("CREATE TABLE public.planned (jit text, scans text)")
    rows("""
        CREATE FUNCTION public.tell() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            INSERT INTO public.planned
            VALUES (current_setting('jit'), current_setting('enable_seqscan'));
            RETURN NULL;
        END $$
    """)
    for table in ("claims", "blocked_executions", "ready_executions"):
        rows(f"""
            CREATE TRIGGER tell AFTER DELETE OR UPDATE ON jobsd.{table}
            FOR EACH STATEMENT EXECUTE FUNCTION public.tell()
        """)
    yield
    rows("DROP FUNCTION public.tell CASCADE")
    rows("DROP TABLE public.planned")


@pytest.mark.failure(
    "A worker takes limited jobs through a PgBouncer in transaction mode, and the server"
    " compiles costly statements (`jit = on`, as Debian's packages have it).",
    "Each claim is sent with its settings, so none is compiled; the jobs run at once",
)
@pytest.mark.usefixtures("planned")
def test_no_claim_behind_a_pooler_is_compiled(
    target: Target, make_worker: MakeWorker, rows: Rows
) -> None:
    with pgbouncer(target.url) as url:
        worker = make_worker(target=Target(url))
        enqueue_many(note_in_turn.with_args(n) for n in range(30))
        enqueue_many(note.with_args(n) for n in range(30, 60))

        worker.until(lambda: len(noted) == 60, 10)
        worker.until(worker.at_rest)
        worker.worker.disconnect()

    assert len({*noted}) == len(noted) == 60
    assert rows("SELECT DISTINCT jit || ' ' || scans FROM public.planned") == ["off off"]
