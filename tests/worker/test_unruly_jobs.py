"""Jobs that do what no job should: the others, and the worker, are not harmed."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from jobsd.enqueueing.client import enqueue, enqueue_many
from jobsd.jobs.current import current_job
from jobsd.jobs.definition import job
from jobsd.jobs.draft import Draft
from jobsd.jobs.policy import Snooze
from jobsd.performing.hand import ThreadDiedError
from jobsd.performing.pool import Pool

from .bodies import gate, note, noted, wait_for_gate

if TYPE_CHECKING:
    from jobsd.database.connection import Session

    from .conftest import Count, MakeWorker


@job
def snooze_without_end() -> None:
    raise Snooze(1e15)


@job
def snooze_not_at_all() -> None:
    noted.append(current_job().id)
    raise Snooze(0)


@job
def note_in(path: str) -> None:
    with Path(path).open("a", encoding="utf-8") as file:
        file.write(f"{current_job().id}\n")


@job
def fork() -> None:
    if child := os.fork():
        noted.append(child)


def test_a_wait_beyond_the_calendar_is_scheduled(make_worker: MakeWorker, count: Count) -> None:
    snooze_without_end.enqueue()
    driven = make_worker()

    driven.until(lambda: count("scheduled_executions WHERE scheduled_at > now()"))


def test_a_snoozed_job_that_is_claimed_again_has_not_run_in_this_claim(
    make_worker: MakeWorker, count: Count
) -> None:
    snooze_not_at_all.enqueue()
    driven = make_worker(threads=1, prefetch=1)
    driven.until(lambda: noted)
    wait_for_gate.using(priority=-1).enqueue()

    driven.until(lambda: None in noted and count("claimed_executions") == 2)

    assert noted[0] not in driven.context.entry.in_cells().values()


@pytest.mark.failure(
    "a job forks, and the child returns from the job's function",
    "the forked process ends there and runs no jobs",
)
def test_a_process_forked_by_a_job_runs_no_jobs(
    make_worker: MakeWorker, count: Count, tmp_path: Path
) -> None:
    fork.enqueue()
    enqueue_many(note_in.with_args(str(tmp_path / "ran")) for _ in range(5))
    driven = make_worker(threads=1, prefetch=10)
    driven.until(lambda: count("jobs WHERE outcome = 'finished'") == 6)
    child = noted[0]
    assert isinstance(child, int)

    driven.until(lambda: os.waitpid(child, os.WNOHANG)[0])
    ran = (tmp_path / "ran").read_text(encoding="utf-8").split()
    assert len(ran) == len(set(ran)) == 5


@pytest.mark.failure(
    "a thread that runs jobs dies",
    "its process ends with an error that says so, and its jobs are recovered as after any"
    " crash",
)
def test_a_worker_does_not_outlive_its_threads(
    make_worker: MakeWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hush(_: object) -> None: ...

    def fail(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(threading, "excepthook", hush)
    stored = wait_for_gate.enqueue()
    driven = make_worker()
    driven.until(lambda: noted)
    with monkeypatch.context() as broken:
        broken.setattr(Pool, "_end", fail)
        gate.set()

        with pytest.raises(ThreadDiedError):
            driven.until(lambda: False)

    assert [each.job_id for each in driven.context.entry.running()] == [stored.id]


@pytest.mark.failure(
    "A person deletes the row of a job that is ready.",
    "The worker that claims it continues with the others.",
)
@pytest.mark.parametrize("left", [0, 2])
@pytest.mark.parametrize("queues", [("*",), ("default",)])
def test_a_ready_job_that_was_deleted_disturbs_no_other(
    left: int,
    queues: tuple[str, ...],
    make_worker: MakeWorker,
    session: Session,
    count: Count,
) -> None:
    stored = enqueue_many(note.with_args(n) for n in range(left + 1))
    session.connection.execute("DELETE FROM jobsd.jobs WHERE id = %s", (stored[0].id,))
    driven = make_worker(queues=queues)

    driven.until(lambda: not count("ready_executions") and not count("claims"))

    assert (len(noted), count("jobs WHERE outcome = 'finished'")) == (left, left)
    assert not driven.worker.ledger.has_claims
    driven.drain()


def test_impossible_arguments_fail_the_job(make_worker: MakeWorker, count: Count) -> None:
    enqueue(Draft(note.definition.name, "default", 0, '[{"$import": "os"}]'))
    driven = make_worker()

    driven.until(lambda: count("failed_executions WHERE error ->> 'type' = 'ArgumentError'"))
