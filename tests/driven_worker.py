"""A worker whose rounds the test takes itself."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, cast

import pytest

from jobsd.clock import monotonic
from jobsd.configuration.options import JobsOptions, WorkerOptions
from jobsd.database.connection import Target
from jobsd.enqueueing import client
from jobsd.enqueueing.client import Client
from jobsd.performing import set_aside
from jobsd.performing.runner import TRUST_S
from jobsd.processes.context import Context
from jobsd.scoreboard.scoreboard import Scoreboard
from jobsd.worker.worker import Worker
from waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from jobsd.database.connection import Session


class Count(Protocol):
    def __call__(self, what: str) -> int: ...


class MakeWorker(Protocol):
    def __call__(self, name: str = ..., target: Target = ..., **options: object) -> Driven: ...


REST_MAX_S = 0.02
"""A round rests no longer, whatever the worker asks for: tests would take minutes."""


class Driven:
    """A worker, its context, and rounds of it until something is so.

    Each rest is cut short, so nothing that happens tells how long a real worker would have
    rested: a test of that asserts `asked_rest_s`, the rest that the last poll has asked for.
    """

    def __init__(self, worker: Worker, context: Context) -> None:
        self.worker = worker
        self.context = context
        self.asked_rest_s = 0.0
        self._rounds = 0

    def until(self, condition: Callable[[], object], within_s: float = 30.0) -> None:
        """Take rounds until the condition holds; fail after `within_s`."""
        wait_until(condition, within_s, lambda: str(self._state()), self._take_round)

    def _take_round(self) -> None:
        self.asked_rest_s = self.worker.poll()
        self._rounds += 1
        sockets = [fd] if (fd := self.worker.socket()) is not None else []
        self.context.nap.take(min(self.asked_rest_s, REST_MAX_S), sockets)

    def _state(self) -> dict[str, object]:
        """Return where the worker stands: a failure that comes once has to tell it all."""
        worker, claiming = self.worker, self.worker.claiming
        return {
            "room": claiming.room(),
            "due in": claiming.due_at - monotonic(),
            "queues": claiming.selector._names,
            "by names": claiming.selector.by_names,
            "registered": claiming.idle.stands,
            "lanes": claiming.known_classes.open,
            "sets aside": claiming.is_setting_aside,
            "claimed": worker.ledger.claims,
            "unrecorded": worker.ledger.has_unrecorded,
            "waiting": worker.pool.waiting,
            "busy": worker.pool.busy,
            "rounds": self._rounds,
            "asked rest": self.asked_rest_s,
        }

    def at_rest(self) -> bool:
        """Whether nothing runs, and nothing waits to be recorded."""
        return not self.worker.pool.uncollected and not self.worker.ledger.has_unrecorded

    def drain(self) -> None:
        """Stop, and take rounds until everything is recorded; say goodbye."""
        self.worker.stop()
        self.until(lambda: self.worker.stopped)
        self.worker.farewell()


@pytest.fixture
def scoreboard() -> Scoreboard:
    return Scoreboard()


@pytest.fixture
def make_worker(
    target: Target, scoreboard: Scoreboard, monkeypatch: pytest.MonkeyPatch
) -> Iterator[MakeWorker]:
    client.configure(client=Client(target))
    made: list[Driven] = []

    def make(name: str = "worker-test", target: Target = target, **options: object) -> Driven:
        keep = bool(options.pop("keep", True))
        trust_s = float(str(options.pop("trust_s", TRUST_S)))
        slow_after_s = cast("float | None", options.pop("slow_after_s", None))
        drain_s = cast("float | None", options.pop("drain_s", None))
        connects = options.pop("connects", True)
        way = options.pop("target", target)
        assert isinstance(way, Target)
        unknown_s = float(str(options.pop("unknown_class_after_s", 0)))
        entry = scoreboard.free_entry()
        assert entry is not None
        entry.take("worker", name)
        context = Context(scoreboard, entry, name)
        context.journals = cast("Path | None", options.pop("journals", None))
        # One step at a time: the round that claims a job does not collect it as well.
        monkeypatch.setattr(context.nap, "yield_gil", lambda: False)
        worker = Worker(
            context,
            way,
            WorkerOptions(**options),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
            JobsOptions(preserve_finished_jobs=keep, unknown_class_after_s=unknown_s),
            trust_s=trust_s,
            drain_s=drain_s,
            slow_after_s=slow_after_s,
        )
        made.append(Driven(worker, context))
        if connects:
            worker.connect()
        return made[-1]

    yield make
    set_aside.Patience.seconds = 0.0
    for driven in made:
        driven.worker.stop()
        driven.worker.disconnect()
        driven.worker._progress.end_logs()
        # Else its threads stay, and with them its pipes: thousands of tests share this process.
        driven.worker.pool.take_back()
        driven.worker.pool.close()
        driven.worker.pool.close()
    client.configure()


@pytest.fixture
def count(session: Session) -> Count:
    """Count the rows of a table, or of a table with a condition."""

    def rows(what: str) -> int:
        query = f"SELECT count(*) FROM jobsd.{what}"
        found = session.connection.execute(query.encode())
        row = found.fetchone()
        assert row is not None
        return int(row[0])

    return rows
