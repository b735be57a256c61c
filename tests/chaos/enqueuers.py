"""Threads that enqueue in all ways there are, and know what became of it.

For each number a ledger here says whether its job is committed, can't be there (rolled
back, or refused), or nobody knows, because the connection broke while it committed.
"""

from __future__ import annotations

import contextlib
import itertools
import random
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import psycopg

from chaos import bounded_jobs, jobs, novel_jobs
from jobsd import EnqueueError, Error, enqueue_many
from jobsd.clock import monotonic

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobsd.jobs.draft import Draft

WAYS = ["pass"] * 16 + ["fail", "retry", "retry", "again", "discard", "nap", "nap"]
TOGETHER = 20


@dataclass(frozen=True, slots=True)
class Intent:
    """One job that was to be; `group` are those that are stored all or none."""

    n: int
    way: str
    state: str
    """committed, absent or unknown; discarded when its limit did not let it in; a duplicate
    when another one was there of its key."""
    group: int = 0
    ordered: bool = False
    """Whether an order was stored in the same transaction."""


@dataclass(slots=True)
class Enqueuers:
    """Some threads, a rate for all of them together, and what they know."""

    url: str
    rate: float
    seed: int
    intents: list[Intent] = field(default_factory=list[Intent])
    over: threading.Event = field(default_factory=threading.Event)
    surprises: list[str] = field(default_factory=list[str])
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))
    _threads: list[threading.Thread] = field(default_factory=list[threading.Thread])

    def start(self, threads: int = 3) -> None:
        """Begin to enqueue."""
        for number in range(threads):
            dice = random.Random(f"{self.seed} {number}")  # noqa: S311 - no secret
            thread = threading.Thread(
                target=self._run, args=(dice, self.rate / threads), daemon=True
            )
            self._threads.append(thread)
            thread.start()

    def end(self) -> None:
        """Enqueue no more; waits for those who wait for the server."""
        self.over.set()
        for thread in self._threads:
            thread.join(60)

    def _run(self, dice: random.Random, rate: float) -> None:
        one = _Enqueuer(self.url, dice, self._numbers, self.intents)
        ways: list[Callable[[], int]] = [
            *[one.alone] * 8,
            *[one.later] * 3,
            *[one.by_sql] * 3,
            *[one.with_an_order] * 4,
            one.together,
        ]
        due = monotonic()
        while not self.over.wait(max(0.0, due - monotonic())):
            try:
                # After an outage what was missed is not made up for.
                due = max(due, monotonic() - 1.0) + dice.choice(ways)() / rate
            except Exception as error:  # noqa: BLE001 - reported as what it is: unexpected
                self.surprises.append(f"{type(error).__name__}: {error}")
                due = monotonic() + 0.1
        one.close()


class _Enqueuer:
    """One thread's ways to enqueue; each returns how many jobs it was about."""

    def __init__(
        self,
        url: str,
        dice: random.Random,
        numbers: itertools.count[int],
        intents: list[Intent],
    ) -> None:
        self._url = url
        self._dice = dice
        self._numbers = numbers
        self._intents = intents
        self._connection: psycopg.Connection[Any] | None = None
        self._pause = threading.Event()

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()

    def alone(self) -> int:
        """One job, committed when the call returns."""
        n = next(self._numbers)
        drafted = self._draft(n)
        self._note(n, "alone", self._store([drafted], "alone"))
        return 1

    def later(self) -> int:
        """One job whose time has not come."""
        n = next(self._numbers)
        drafted = self._draft(n)
        drafted.wait_s = self._dice.random() * 2
        self._note(n, "later", self._store([drafted], "later"))
        return 1

    def together(self) -> int:
        """Many jobs, all or none."""
        numbers = list(itertools.islice(self._numbers, TOGETHER))
        drafts = [self._draft(n) for n in numbers]
        for drafted in drafts[::7]:
            drafted.wait_s = self._dice.random()
        states = self._store(drafts, "together")
        for n, state in zip(numbers, states, strict=True):
            self._intents.append(Intent(n, "together", state, group=numbers[0]))
        return TOGETHER

    def by_sql(self) -> int:
        """One job, by the function for triggers and other languages."""
        n = next(self._numbers)
        drafted = self._draft(n)
        state = self._transact(lambda connection: _store_by_sql(connection, n, drafted))
        self._intents.append(Intent(n, "sql", state))
        return 1

    def with_an_order(self) -> int:
        """One or two jobs in a transaction of the program's own, that may be rolled back."""
        numbers = list(itertools.islice(self._numbers, self._dice.choice([1, 1, 2])))
        # Of one limit at most: two in any order would wait for each other. It has to let in.
        drafts = [self._draft(n, strict=False if n == numbers[0] else None) for n in numbers]
        back, thinks_s = self._dice.random() < 0.3, self._dice.choice([0.0, 0.0, 0.05, 0.3])

        def store(connection: psycopg.Connection[Any]) -> str:
            connection.execute("INSERT INTO chaos.orders VALUES (%s)", (numbers[0],))
            enqueue_many(drafts, connection=connection)
            # Meanwhile nobody else gets the lock of the limit.
            self._pause.wait(thinks_s)
            if back:
                raise psycopg.Rollback
            return "committed"

        state = self._transact(store)
        for n in numbers:
            intent = Intent(n, "order", state, group=numbers[0], ordered=True)
            self._intents.append(intent)
        return len(numbers)

    def _draft(self, n: int, *, strict: bool | None = True) -> Draft:
        """Order something; `strict` None: without a limit, False: with none that discards."""
        dice = self._dice
        how = dice.choice(WAYS)
        seconds = dice.choice([0.0, 0.001, 0.005, 0.02, 0.02, 0.1])
        if dice.random() < 0.005:
            how, seconds = dice.choice([("die", 0.0), ("hold", 1.0), ("pass", 3.0)])
        free = [jobs.plain, jobs.tried, jobs.tried, novel_jobs.novel]
        bounded = dice.random()
        if strict and bounded < 0.1:
            unique = dice.choice([bounded_jobs.once, bounded_jobs.following])
            drafted = unique.with_args(n, seconds, how, f"k{dice.randrange(6)}")
        elif bounded < 0.3:
            drafted = self._bounded(n, seconds, how)
        elif strict is None or dice.random() < 0.8:
            drafted = dice.choice(free).with_args(n, seconds, how)
        else:
            either = jobs.picky if strict else jobs.alone
            limited = dice.choice(
                [
                    *(jobs.alone, jobs.alone, jobs.three, either, novel_jobs.novel_alone),
                    bounded_jobs.sealed_alone,
                ]
            )
            drafted = limited.with_args(n, seconds, how, f"k{dice.randrange(6)}")
        drafted.priority = dice.choice([0, 0, 0, -1, 1])
        drafted.queue_name = dice.choice(["default", "default", "odd_one"])
        return drafted

    def _bounded(self, n: int, seconds: float, how: str) -> Draft:
        """Order a job that is bounded in time, or by an event loop or a transaction."""
        dice = self._dice
        kinds = [bounded_jobs.brief, bounded_jobs.hasty, bounded_jobs.airy, bounded_jobs.sealed]
        kind = dice.choice(kinds)
        if kind is bounded_jobs.hasty and dice.random() < 0.1:
            how, seconds = dice.choice(["pass", "pass", "hold"]), 1.5
        elif dice.random() < 0.2:
            # Long enough to be cancelled meanwhile.
            how, seconds = "pass", 1.5
        drafted = kind.with_args(n, seconds, how)
        if kind is bounded_jobs.brief:
            drafted.expires_in_s = dice.choice([0.05, 0.3, 1.0, 3.0, 60.0])
        return drafted

    def _note(self, n: int, way: str, states: list[str]) -> None:
        self._intents.append(Intent(n, way, states[0]))

    def _store(self, drafts: list[Draft], _way: str) -> list[str]:
        """Store jobs by a connection of the library's; return what is known of each."""
        try:
            stored = list(enqueue_many(drafts)) if len(drafts) > 1 else [_enqueue(drafts[0])]
        except EnqueueError as error:
            unknown = str(error).startswith("it is not known")
            return ["unknown" if unknown else "absent"] * len(drafts)
        except Error:
            return ["absent"] * len(drafts)
        kept_out = {"discarded", "duplicate"}
        return [each.state if each.state in kept_out else "committed" for each in stored]

    def _transact(self, store: Callable[[psycopg.Connection[Any]], str]) -> str:
        """Do it in a transaction of ours; `store` returns what it comes to once committed."""
        state, stored = "absent", False
        try:
            if self._connection is None or self._connection.closed:
                self._connection = psycopg.connect(
                    self._url, autocommit=True, connect_timeout=3
                )
            with self._connection.transaction():
                state = store(self._connection)
                stored = True
        except (psycopg.Error, psycopg.Rollback, Error):
            # A rollback that the connection did not live to see is one all the same.
            if self._connection is not None:
                with contextlib.suppress(psycopg.Error):
                    self._connection.close()
            return "unknown" if stored else "absent"
        return state if stored else "absent"


def _store_by_sql(connection: psycopg.Connection[Any], n: int, drafted: Draft) -> str:
    limited, unique = drafted.limited, drafted.unique
    row = connection.execute(
        "SELECT jobsd.enqueue(%s, %s::jsonb, priority => %s, max_attempts => %s,"
        " retries_crash => %s, concurrency_key => %s, concurrency_limit => %s,"
        " on_conflict => %s, unique_key => %s, unique_until => %s,"
        " expires_in => make_interval(secs => %s::float8))",
        (
            drafted.class_name,
            drafted.arguments,
            drafted.priority,
            drafted.max_attempts,
            drafted.retries_crash,
            limited.key if limited else None,
            limited.to if limited else 1,
            limited.on_conflict if limited else "block",
            unique.unique_key if unique else None,
            unique.unique_until if unique else None,
            drafted.expires_in_s,
        ),
    ).fetchone()
    assert row is not None
    if row[0] is None:
        return "discarded"
    # What is ours we see, though nobody else does yet; a duplicate may be gone by now.
    ours = "SELECT FROM jobsd.jobs WHERE id = %s AND (arguments ->> 0)::int = %s"
    return "committed" if connection.execute(ours, (row[0], n)).rowcount else "duplicate"


def _enqueue(drafted: Draft) -> Any:
    from jobsd.enqueueing.client import enqueue

    return enqueue(drafted)
