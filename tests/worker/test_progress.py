"""How far a job has come, as it says itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from enqueueing import placed
from jobsd.errors import Error
from jobsd.jobs import progress
from jobsd.jobs.current import current_job
from jobsd.jobs.definition import job
from jobsd.jobs.inbox import INBOX
from jobsd.operations.job_info import find
from jobsd.performing.progress import ProgressWriter

from .bodies import gate, noted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobsd.database.connection import Session
    from rows import Rows

    from .conftest import Count, MakeWorker


@pytest.fixture(autouse=True)
def _nothing_said() -> Iterator[None]:
    progress.SAID.take()
    INBOX.wake_by(lambda: None)
    yield
    INBOX.wake_by(None)
    progress.SAID.take()


@job
def count_up(most: int) -> None:
    for number in range(most + 1):
        current_job().progress(number, most, f"line {number}")
    noted.append("said")
    gate.wait(60)


@job
def say_nothing() -> None: ...


def test_the_progress_of_a_running_job_is_shown(make_worker: MakeWorker, count: Count) -> None:
    worker = make_worker()
    enqueued = count_up.enqueue(1000)
    assert enqueued.id is not None
    worker.until(lambda: count("jobs WHERE progress ->> 'done' = '1000'"))
    found = find(enqueued.id)

    assert found is not None
    assert found.state == "claimed"
    said: Any = found.progress
    assert (said["done"], said["total"], said["note"]) == (1000, 1000, "line 1000")


def test_the_last_progress_is_kept_after_the_end(make_worker: MakeWorker, count: Count) -> None:
    gate.set()
    worker = make_worker()
    count_up.enqueue(3)
    worker.until(lambda: count("jobs WHERE outcome = 'finished'"))

    worker.until(lambda: count("jobs WHERE progress ->> 'done' = '3'"))


def test_it_is_written_once_a_second_at_most(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobsd.performing.progress.monotonic", lambda: 100.0)
    woken: list[bool] = []
    INBOX.wake_by(lambda: woken.append(True))
    writer = ProgressWriter(session, "worker-test")
    progress.say(1, 1, None, None)
    progress.say(1, 2, None, None)
    writer.write(7)
    progress.say(1, 3, None, None)
    writer.write(7)

    assert (bool(progress.SAID), len(woken)) == (True, 2)
    assert writer.bound(30) == 1


def test_a_worker_rests_no_longer_than_until_the_next_report_may_be_written(
    make_worker: MakeWorker, monkeypatch: pytest.MonkeyPatch, count: Count
) -> None:
    worker = make_worker(threads=1)
    running = count_up.enqueue(0).id or 0
    worker.until(lambda: noted and worker.asked_rest_s > 1)
    monkeypatch.setattr("jobsd.performing.progress.monotonic", lambda: 1e9)
    progress.say(running, 1, None, None)
    worker.until(lambda: count("jobs WHERE progress ->> 'done' = '1'"))

    progress.say(running, 2, None, None)
    worker.until(lambda: 0 < worker.asked_rest_s <= 1)

    assert progress.SAID, "it is not due"
    gate.set()


@pytest.mark.failure(
    "The connection breaks while the last progress report of a job is written",
    "It is written once the connection is back, unless the job has reported more in the"
    " meantime",
)
def test_what_could_not_be_written_is_written_later(session: Session) -> None:
    writer = ProgressWriter(session, "worker-test")
    progress.say(1, 1, None, None)
    progress.say(2, 1, None, None)
    session.connection.close()

    with pytest.raises(psycopg.OperationalError):
        writer.finish(7)
    assert list(progress.SAID.take()) == [1, 2]
    session.close()


@pytest.mark.usefixtures("default_client")
def test_a_job_of_another_process_is_left_alone(session: Session, rows: Rows) -> None:
    others, ours = (placed.enqueue() for _ in range(2))
    placed.claim(session, 8, others)
    placed.claim(session, 7, ours)

    progress.write(session, 7, {others: '{"done": 1}', ours: '{"done": 2}'})

    done = "SELECT id, progress ->> 'done' FROM jobsd.jobs ORDER BY id"
    assert rows(done) == [(others, None), (ours, "2")]


def test_jobs_without_progress_have_none(make_worker: MakeWorker, count: Count) -> None:
    worker = make_worker()
    say_nothing.enqueue()
    worker.until(lambda: count("jobs WHERE outcome = 'finished'"))

    assert count("jobs WHERE progress IS NULL") == 1


def test_outside_of_the_queue_nothing_is_kept() -> None:
    gate.set()
    count_up.perform_now(2)

    assert not progress.SAID


@pytest.mark.parametrize(
    ("said", "wrong"),
    [
        ((-1, None, None), "done is -1"),
        ((float("nan"), None, None), "done is nan"),
        ((10**400, None, None), "done is 1000"),
        ((True, None, None), "done is True"),
        ((1, "2", None), "total is '2'"),
        ((1, 2, 3), "the note is 3"),
    ],
)
def test_an_invalid_progress_is_refused(said: tuple[Any, Any, Any], wrong: str) -> None:
    with pytest.raises(Error, match=f"progress: {wrong}"):
        progress.say(1, *said)
