"""What a worker has sent without an answer was recorded otherwise by another process."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest

from jobsd.jobs.definition import job
from jobsd.processes import registry
from jobsd.supervisor.recovery.claims import recover
from waiting import wait_until

from .bodies import gate, noted
from .dead_processes import dead_process

if TYPE_CHECKING:
    from harness.event_recorder import EventRecorder
    from jobsd.database.connection import Session
    from rows import Rows

    from .conftest import MakeWorker


@job
def fails_late() -> None:
    noted.append("begun")
    assert gate.wait(60)
    raise ValueError("late")


@pytest.mark.failure(
    "The connection breaks before a failure is recorded, and the worker is declared dead.",
    "Only the process that has recovered the job reports it, though the attempt has its"
    " worker and start",
)
def test_a_failure_that_another_process_has_recorded_is_not_reported_again(
    make_worker: MakeWorker, session: Session, rows: Rows, recorder: EventRecorder
) -> None:
    found = recorder.facts("job.failed")
    fails_late.enqueue()
    driven = make_worker()
    worker = driven.worker
    driven.until(lambda: noted)
    gate.set()
    wait_until(lambda: not worker.pool.in_hand)

    def broken(*_: object, **__: object) -> None:
        raise psycopg.OperationalError("sent to who does not answer")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(worker.turns, "take", broken)
        with pytest.raises(psycopg.OperationalError):
            driven.until(lambda: False)
    worker.disconnect()
    # As its last heartbeat has said it.
    rows(
        "UPDATE jobsd.processes SET running = (SELECT jsonb_object_agg(id,"
        " extract(epoch FROM now()) - 1) FROM jobsd.jobs)"
    )
    dead = dead_process(session, threads=1)
    recover(session, dead)
    registry.remove(session, dead.process_id)
    assert rows("SELECT process FROM jobsd.attempts WHERE started_at IS NOT NULL") == [
        "worker-test"
    ]

    worker.connect()
    driven.until(driven.at_rest)

    assert found == []
    assert driven.context.entry.queue("default").outcome("failed") == 0
