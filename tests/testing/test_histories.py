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
from jobsd import cancel, cancel_all, discard, find, queues, retry
from jobsd.configuration.options import DispatcherOptions, JobsOptions
from jobsd.dispatcher.dispatcher import Dispatcher
from jobsd.errors import DuplicateError, Error
from jobsd.jobs import policy
from jobsd.processes.context import Context
from jobsd.testing import clock, perform_enqueued
from waiting import wait_until

from .shop import alone, call, flaky, latest, once, rare, soon, urgent, welcome

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from driven_worker import Driven
    from jobsd.database.connection import Target
    from jobsd.scoreboard.scoreboard import Scoreboard
    from jobsd.testing import VirtualClock
    from rows import Rows

__all__ = ["make_worker", "scoreboard"]

SEEDS = range(4)
STEPS = 40
QUIET_STEPS = 14
"""Minutes after which all that ends has ended."""
START = datetime(2030, 1, 1, tzinfo=UTC)
# A second more than a minute: what waits for a minute from a moment that is past is due then.
PASS = """
WITH a AS (
    UPDATE jobsd.scheduled_executions SET scheduled_at = scheduled_at - interval '61 s'
),
b AS (UPDATE jobsd.expirations SET expires_at = expires_at - interval '61 s'),
c AS (UPDATE jobsd.unique_jobs SET ends_at = ends_at - interval '61 s')
UPDATE jobsd.jobs
SET created_at = created_at - interval '61 s', scheduled_at = scheduled_at - interval '61 s'
"""

ENDS = "SELECT class_name, state, attempts FROM jobsd.job_states ORDER BY id"
OPEN = """
SELECT count(*)
FROM jobsd.job_states
WHERE state IN ('ready', 'blocked', 'claimed')
    AND queue_name NOT IN (SELECT queue_name FROM jobsd.pauses)
"""
DUE = "SELECT count(*) FROM jobsd.scheduled_executions WHERE scheduled_at <= now()"
QUEUES = ("default", "mail")
BY_HAND: dict[str, Callable[[int], str]] = {
    "cancel": cancel,
    "discard": discard,
    "retry": retry,
}


class Step(NamedTuple):
    """What happens: "enqueue", "perform", "pass" or what is done by hand; and to what.

    `which` is a job by how many were enqueued before it, or a queue.
    """

    kind: str
    job: Any = None
    args: tuple[Any, ...] = ()
    minutes: int | None = None
    which: Any = None


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
        # As in the kit, where what is ready runs before the time does.
        self.perform()
        self._rows(PASS)
        # Jobs that were moved in time lie before the dispatcher's cursor.
        self._rows("SELECT pg_notify('jobsd.due', 'due')")
        wait_until(self._has_dispatched)
        self.perform()

    def end(self) -> list[tuple[str, str, int]]:
        found = self._rows(ENDS)
        return [(str(name), str(state), int(str(n))) for name, state, n in found]

    def _has_dispatched(self) -> bool:
        self._dispatcher.poll()
        return self._rows(DUE) == [0]

    def _is_idle(self) -> bool:
        return self._worker.at_rest() and self._rows(OPEN) == [0]


def history(seed: int) -> Iterator[Step]:
    """Yield what happens in one history."""
    dice = random.Random(seed)  # noqa: S311 - no secret
    for _ in range(STEPS):
        kind = dice.choices(["enqueue", "perform", "pass", "by hand"], [10, 2, 4, 4])[0]
        if kind == "by hand":
            yield _by_hand(dice)
            continue
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


def _by_hand(dice: random.Random) -> Step:
    kind = dice.choice([*BY_HAND, "pause", "resume", "clear", "cancel all"])
    if kind in BY_HAND:
        return Step(kind, which=dice.randrange(STEPS))
    if kind == "cancel all":
        return Step(kind, which=dice.choice(["kit.f*", "kit.on?e", "kit.welcome"]))
    return Step(kind, which=dice.choice(QUEUES))


def act(step: Step, ids: list[int]) -> list[object]:
    """Do something by hand; return what is said of it, alike whatever the ids are."""
    if step.kind in BY_HAND:
        if step.which >= len(ids):
            return []
        try:
            return [_plain(BY_HAND[step.kind](ids[int(step.which)]))]
        except Error as refused:
            return [type(refused).__name__]
    if step.kind == "cancel all":
        return [sorted(map(_plain, cancel_all(class_name=step.which).values()))]
    if step.kind == "clear":
        return [queues.clear(step.which)]
    return [queues.pause(step.which) if step.kind == "pause" else queues.resume(step.which)]


def _plain(state: str) -> str:
    """Return a state; only workers make a difference between blocked and ready."""
    return "ready" if state == "blocked" else state


def reported(job_id: int) -> list[object]:
    """Return what there is to know of a job, as far as it has no time and no name."""
    seen = find(job_id)
    if seen is None:
        return ["none"]
    errors = [(each["attempt"], each["type"], each["message"]) for each in seen.errors]
    reason = seen.reason if seen.state == "discarded" else None
    facts = [seen.class_name, seen.arguments, seen.queue_name, seen.priority]
    return [*facts, _plain(seen.state), seen.attempts, reason, seen.result, errors]


def live(steps: Iterator[Step], side: Side) -> list[object]:
    """Let a history happen; return what each enqueue has answered, and how the jobs ended."""
    answers: list[object] = []
    ids: list[int] = []
    for step in steps:
        if step.kind == "perform":
            side.perform()
        elif step.kind == "pass":
            side.let_a_minute_pass()
        elif step.kind != "enqueue":
            answers += act(step, ids)
        else:
            wait = None if step.minutes is None else f"{step.minutes}m"
            try:
                handle = step.job.using(wait=wait).enqueue(*step.args)
            except DuplicateError:
                answers.append("raised")
                continue
            answers.append(handle.state)
            ids += [] if handle.id is None else [handle.id]
    answers += [(queues.size(name), queues.is_known(name)) for name in QUEUES]
    answers += [reported(each) for each in ids]
    for name in QUEUES:
        queues.resume(name)
    for _ in range(QUIET_STEPS):
        side.let_a_minute_pass()
    return [*answers, *side.end(), *map(reported, ids)]


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
    # As in the kit: no backoff is lengthened by chance.
    chance = policy.chance_by(lambda: 0.0)
    yield OnPostgres(make_worker(threads=1), dispatcher, rows)
    policy.chance_by(chance)
    dispatcher.disconnect()


@pytest.mark.parametrize("seed", SEEDS)
def test_a_random_history_ends_alike_on_both_sides(seed: int, on_postgres: OnPostgres) -> None:
    stored = live(history(seed), on_postgres)
    with clock(START) as virtual:
        virtual.tasks.use()
        in_memory = live(history(seed), InMemory(virtual))

    assert in_memory == stored
    assert len({str(each) for each in stored}) > 8, "it shows something"
