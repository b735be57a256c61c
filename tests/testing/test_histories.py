"""The same random histories, of the queue in memory and of PostgreSQL, end alike.

On PostgreSQL a real worker and dispatcher run, of which the test takes the rounds; its time
passes by moving all that has a time in the tables.
"""

from __future__ import annotations

import random
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import pytest

from driven_worker import MakeWorker, make_worker, scoreboard
from jobsd.configuration.options import DispatcherOptions, JobsOptions
from jobsd.dispatcher.dispatcher import Dispatcher
from jobsd.errors import DuplicateError
from jobsd.processes.context import Context
from jobsd.testing import clock, perform_enqueued

from .shop import alone, call, flaky, latest, once, rare, soon, urgent, welcome

if TYPE_CHECKING:
    from collections.abc import Iterator

    from driven_worker import Driven
    from jobsd.database.connection import Target
    from jobsd.processes.scoreboard import Scoreboard
    from jobsd.testing import VirtualClock
    from rows import Rows

__all__ = ["make_worker", "scoreboard"]

SEEDS = range(5)
STEPS = 30
QUIET_STEPS = 14
"""Minutes after which all that ends has ended."""
START = datetime(2030, 1, 1, tzinfo=UTC)
PASS = """
WITH a AS (
    UPDATE jobsd.scheduled_executions SET scheduled_at = scheduled_at - interval '1 min'
),
b AS (UPDATE jobsd.expirations SET expires_at = expires_at - interval '1 min'),
c AS (UPDATE jobsd.unique_jobs SET ends_at = ends_at - interval '1 min')
UPDATE jobsd.jobs
SET created_at = created_at - interval '1 min', scheduled_at = scheduled_at - interval '1 min'
"""

ENDS = "SELECT class_name, state, attempts FROM jobsd.job_states ORDER BY id"
OPEN = f"SELECT count(*) FROM ({ENDS}) AS job WHERE state IN ('ready', 'blocked', 'claimed')"


class Step(NamedTuple):
    """What happens: "enqueue", "perform" or "pass"; and what is enqueued."""

    kind: str
    job: Any = None
    args: tuple[Any, ...] = ()
    minutes: int | None = None


class Side(Protocol):
    """One of the two."""

    def perform(self) -> None: ...
    def let_a_minute_pass(self) -> None: ...
    def end(self) -> list[tuple[str, str, int]]: ...


class InMemory:
    def __init__(self, virtual: VirtualClock) -> None:
        self._clock = virtual

    def perform(self) -> None:
        perform_enqueued(raises=False)

    def let_a_minute_pass(self) -> None:
        self._clock.advance("1m", raises=False)

    def end(self) -> list[tuple[str, str, int]]:
        return [(job.class_name, job.state, job.attempts) for job in self._clock.jobs]


class OnPostgres:
    def __init__(self, worker: Driven, dispatcher: Dispatcher, rows: Rows) -> None:
        self._worker, self._dispatcher, self._rows = worker, dispatcher, rows

    def perform(self) -> None:
        self._worker.until(self._is_idle)

    def let_a_minute_pass(self) -> None:
        self._rows(PASS)
        self._dispatcher.poll()
        self.perform()

    def end(self) -> list[tuple[str, str, int]]:
        found = self._rows(ENDS)
        return [(str(name), str(state), int(str(n))) for name, state, n in found]

    def _is_idle(self) -> bool:
        return self._worker.at_rest() and self._rows(OPEN) == [0]


def history(seed: int) -> Iterator[Step]:
    """Yield what happens in one history."""
    dice = random.Random(seed)  # noqa: S311 - no secret
    for _ in range(STEPS):
        kind = dice.choices(["enqueue", "perform", "pass"], [5, 1, 2])[0]
        if kind != "enqueue":
            yield Step(kind)
            continue
        errors = dice.choices(["value", "key", "discard", "snooze"], [6, 1, 1, 1], k=3)
        job, args = dice.choice(
            [
                (welcome, (dice.randrange(3),)),
                (urgent, ()),
                (flaky, tuple(errors[: dice.randrange(4)])),
                (call, ()),
                (alone, (dice.randrange(2),)),
                (once, (dice.randrange(2), dice.choice("ab"))),
                (latest, (dice.randrange(2), dice.choice("ab"))),
                (rare, ()),
                (soon, ()),
            ]
        )
        later = dice.choice([None, None, 1, 2, 5])
        yield Step(kind, job, args, later)


def live(steps: Iterator[Step], side: Side) -> list[object]:
    """Let a history happen; return what each enqueue has answered, and how the jobs ended."""
    answers: list[object] = []
    for step in steps:
        if step.kind == "perform":
            side.perform()
        elif step.kind == "pass":
            side.let_a_minute_pass()
        else:
            wait = None if step.minutes is None else f"{step.minutes}m"
            try:
                handle = step.job.using(wait=wait).enqueue(*step.args)
            except DuplicateError:
                answers.append("raised")
                continue
            answers.append(handle.state)
    for _ in range(QUIET_STEPS):
        side.let_a_minute_pass()
    return [*answers, *side.end()]


@pytest.fixture
def on_postgres(
    target: Target, rows: Rows, make_worker: MakeWorker, scoreboard: Scoreboard
) -> Iterator[OnPostgres]:
    entry = scoreboard.free_entry()
    assert entry is not None
    entry.take("dispatcher", "dispatcher-test")
    context = Context(scoreboard, entry, "dispatcher-test")
    dispatcher = Dispatcher(context, target, DispatcherOptions(), JobsOptions())
    dispatcher.connect()
    yield OnPostgres(make_worker(threads=1), dispatcher, rows)
    dispatcher.disconnect()


@pytest.mark.parametrize("seed", SEEDS)
def test_a_random_history_ends_alike_on_both_sides(seed: int, on_postgres: OnPostgres) -> None:
    stored = live(history(seed), on_postgres)
    with clock(START) as virtual:
        virtual.tasks.use()
        in_memory = live(history(seed), InMemory(virtual))

    assert in_memory == stored
    assert len({str(each) for each in stored}) > 8, "it shows something"
