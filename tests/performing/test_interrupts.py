"""Jobs that are interrupted: in their own code, and nowhere else."""

from __future__ import annotations

import json
import logging
import random
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from jobsd.arguments import arguments
from jobsd.clock import monotonic
from jobsd.errors import Error, InterruptError, TimeLimitExceeded
from jobsd.jobs import interrupts, time_limits
from jobsd.jobs.claimed_job import ClaimedJob
from jobsd.jobs.current import current_job
from jobsd.jobs.definition import Job, job
from jobsd.logs.line_handler import LineHandler
from jobsd.logs.printed import Printed
from jobsd.performing.perform import SUCCESS, Run
from jobsd.performing.pool import Pool
from performing.posted import collect, post
from waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.event_recorder import Emitted, EventRecorder
    from jobsd.scoreboard.entry import ScoreboardEntry

noted: list[object] = []
gate = threading.Event()
log = logging.getLogger("interrupted")
guarded = logging.getLogger("interrupted.guarded")
log.propagate = guarded.propagate = False


class StopError(InterruptError):
    """What a test interrupts jobs with."""


@job(timeout="50ms", max_attempts=2)
def turn_for_ever() -> None:
    while True:
        noted.append(len(noted) and noted.pop())


class Endless(Job):
    """A class of which a job calls a function that is a job."""

    timeout = 0.05

    def perform(self) -> None:
        turn_for_ever()


@job(timeout=0.02)
def sleep_longer() -> None:
    time.sleep(0.3)
    noted.append("slept")


@job(timeout=0.02)
def clean_up() -> None:
    try:
        while True:
            noted[:] = ["turned"]
    except TimeLimitExceeded:
        noted.append("cleaned up")


@job(timeout=0.02)
def enqueue_for_ever() -> None:
    """What jobs enqueue with ends like this: it waits in code of ours, never outside."""
    while True:
        arguments.dump((1, {"two": [3]}), {})
        interrupts.deliver()


@job(timeout=0.02)
def print_for_ever() -> None:
    while True:
        print("so far")


@job(timeout=0.02)
def log_for_ever() -> None:
    while True:
        log.warning("so far")


@job(timeout=0.02)
def log_within_a_lock() -> None:
    """Log a hundred lines, by a handler that prints them: it has a lock meanwhile."""
    for _ in range(100):
        guarded.warning("so far")


class SlowHandler(LineHandler):
    def emit(self, record: logging.LogRecord) -> None:
        write_slowly(str(record.msg))


class QuietHandler(LineHandler):
    def emit(self, record: logging.LogRecord) -> None:
        pass


class PrintingHandler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        noted.append("begun")
        print(record.msg)
        noted.append("printed")


def write_slowly(_line: str) -> None:
    """Take nearly all of the time of a line, and let other threads run only here."""
    time.sleep(0.002)


@job
def wait_to_be_stopped() -> None:
    noted.append("began")
    while True:
        noted[:] = ["began"]


@job
def be_shielded() -> None:
    with current_job().shield():
        noted.append("shielded")
        assert gate.wait(60)
        with current_job().shield():
            noted.append("still")
        noted.append("saved")
    noted.append("never")


@job
def note(what: str) -> None:
    noted.append(what)


@job(name="mixed")
def mixed(length_s: float) -> None:
    until = monotonic() + length_s
    while monotonic() < until:
        log.warning("so far")
        arguments.dump((1, "two"), {})
        sum(range(20))


@pytest.fixture
def pool(entry: ScoreboardEntry) -> Iterator[Pool]:
    noted.clear()
    gate.clear()
    made = Pool(1, entry, lambda: None)
    yield made
    made.take_back()
    made.close()
    made.threads[0].join(60)


@pytest.fixture
def heard(recorder: EventRecorder) -> Emitted:
    return recorder.events("thread.failed", "job.interrupted")


def claimed(job_id: int, name: str, *args: object) -> ClaimedJob:
    text = json.dumps(list(args))
    return ClaimedJob(1, job_id, name, text, "mail", 0, 2, 0.0, None, 0, job_id)


@pytest.mark.parametrize("body", [turn_for_ever, Endless])
def test_a_job_over_its_time_limit_fails_with_its_stack(
    body: Any,
    pool: Pool,
    heard: Emitted,
) -> None:
    post(pool, claimed(1, body.definition.name), claimed(2, note.definition.name, "next"))

    first, second = collect(pool, 2)

    assert isinstance(first.outcome.exception, TimeLimitExceeded)
    reported = json.loads(first.outcome.error or "")
    assert reported["type"] == "TimeLimitExceeded"
    assert reported["message"].endswith("its time limit of 0.05 s")
    assert "in turn_for_ever" in reported["stack"]
    assert first.outcome.verdict.outcome == "retried" if body is turn_for_ever else "failed"
    assert second.outcome is SUCCESS
    wait_until(lambda: heard)
    ((name, facts),) = heard
    assert (name, facts["reason"], facts["job_id"]) == (
        "job.interrupted",
        "TimeLimitExceeded",
        1,
    )


def test_a_job_that_waits_in_c_is_struck_when_it_comes_back(pool: Pool) -> None:
    post(pool, claimed(1, sleep_longer.definition.name))

    (run,) = collect(pool, 1)

    assert isinstance(run.outcome.exception, TimeLimitExceeded)
    assert noted == []


def test_a_job_may_clean_up_and_end_well(pool: Pool) -> None:
    post(pool, claimed(1, clean_up.definition.name))

    assert collect(pool, 1)[0].outcome is SUCCESS
    assert noted == ["turned", "cleaned up"]


def test_a_job_that_is_always_met_in_code_of_ours_is_interrupted_at_its_end(
    pool: Pool,
) -> None:
    post(pool, claimed(1, enqueue_for_ever.definition.name))

    assert isinstance(collect(pool, 1)[0].outcome.exception, TimeLimitExceeded)


@pytest.mark.parametrize("body", [print_for_ever, log_for_ever])
def test_a_job_that_only_prints_or_logs_is_interrupted_behind_a_line(
    body: Any, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdout", Printed(write_slowly))
    monkeypatch.setattr(log, "handlers", [SlowHandler()])
    post(pool, claimed(1, body.definition.name))

    (run,) = collect(pool, 1)

    assert isinstance(run.outcome.exception, TimeLimitExceeded)
    stack = json.loads(run.outcome.error or "")["stack"]
    assert "in line_ended" in stack


def test_a_job_that_only_logs_is_interrupted_though_another_library_wraps_logging(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the integration of Sentry does."""
    original = logging.Logger.callHandlers

    def wrapped(self: logging.Logger, record: logging.LogRecord) -> None:
        return original(self, record)

    monkeypatch.setattr(logging.Logger, "callHandlers", wrapped)
    monkeypatch.setattr(log, "handlers", [SlowHandler()])
    post(pool, claimed(1, log_for_ever.definition.name))

    (run,) = collect(pool, 1)

    assert isinstance(run.outcome.exception, TimeLimitExceeded)


def test_a_line_that_a_handler_of_logging_prints_is_never_struck(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdout", Printed(write_slowly))
    monkeypatch.setattr(guarded, "handlers", [PrintingHandler()])
    post(pool, claimed(1, log_within_a_lock.definition.name))

    collect(pool, 1)

    assert noted.count("begun") == noted.count("printed") > 0


def test_a_job_is_stopped_by_its_id(pool: Pool) -> None:
    post(pool, claimed(7, wait_to_be_stopped.definition.name))
    wait_until(lambda: noted)

    assert not pool.interrupt(8, StopError)
    assert pool.interrupt(7, StopError)

    assert isinstance(collect(pool, 1)[0].outcome.exception, StopError)
    assert not pool.interrupt(7, StopError)


def test_an_interrupt_within_shields_comes_at_the_end_of_the_outermost(pool: Pool) -> None:
    post(pool, claimed(1, be_shielded.definition.name))
    wait_until(lambda: noted)
    assert pool.interrupt(1, StopError)
    thread = pool.seats()[0]
    wait_until(lambda: thread.interrupt)

    gate.set()

    assert isinstance(collect(pool, 1)[0].outcome.exception, StopError)
    assert noted == ["shielded", "still", "saved"]


@pytest.mark.parametrize("within_s", [4.0, pytest.param(600.0, marks=pytest.mark.long)])
def test_many_random_limits_around_the_length_of_jobs_interrupt_only_jobs(
    within_s: float,
    pool: Pool,
    heard: Emitted,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(log, "handlers", [QuietHandler()])
    seed = random.randrange(2**32)  # noqa: S311 - no secret
    chosen = random.Random(seed)  # noqa: S311 - no secret
    until, runs, number = monotonic() + within_s, list[Run](), 0

    class Drawn:
        @property
        def timeout_s(self) -> float:
            return chosen.uniform(0.0001, 0.002)

    monkeypatch.setattr("jobsd.performing.perform.DEFAULT", Drawn())
    while number < 10_000 and monotonic() < until:
        batch = [
            claimed(number + n, "mixed", chosen.uniform(0.0, 0.002)) for n in range(1, 101)
        ]
        number += len(batch)
        post(pool, *batch)
        runs += collect(pool, len(batch))

    assert [run.job.id for run in runs] == list(range(1, number + 1)), seed
    kinds = {type(run.outcome.exception) for run in runs}
    assert kinds == {type(None), TimeLimitExceeded}, seed
    assert {name for name, _ in heard} == {"job.interrupted"}, seed
    # Neither lock of logging was left behind.
    reported = threading.Thread(target=log.warning, args=("the end",), daemon=True)
    reported.start()
    reported.join(60)
    assert not reported.is_alive(), seed


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("kill_after", 0),
        ("kill_after", "2d"),
        ("timeout", 0),
        ("timeout", float("nan")),
        ("timeout", "7d"),
        ("timeout", "soon"),
        ("timeout", -1),
    ],
)
def test_an_invalid_limit_is_refused_at_the_definition(option: str, value: Any) -> None:
    with pytest.raises(Error, match=rf"^{option}: "):
        job(**{option: value})


def test_the_limits_of_a_job_override_those_of_the_settings(
    request: pytest.FixtureRequest,
) -> None:
    request.addfinalizer(lambda: time_limits.set_default(None))
    time_limits.set_default(60.0)

    assert time_limits.timeout_s(turn_for_ever.definition.time_limit) == 0.05
    assert time_limits.timeout_s(note.definition.time_limit) == 60.0
