"""What the child table does the second time, and when the system refuses."""

from __future__ import annotations

import errno
import os
import signal
from contextlib import closing
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import psutil
import pytest

from jobsd.scoreboard.scoreboard import Scoreboard
from jobsd.supervisor.child_table import BOOT_REST_MAX_S, ChildTable
from jobsd.supervisor.children import Child, ChildExit, ChildProcess, ChildSpec
from jobsd.supervisor.stack_dump import StackDump

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from harness.event_recorder import EventRecorder
    from jobsd.supervisor.fork import Fork
    from jobsd.supervisor.oom import OomKills


class Forks:
    """Stands for the fork: what it starts is this very process, or nothing."""

    def __init__(self) -> None:
        self.refuses = False
        self.dumps: list[StackDump] = []

    def start(self, _spec: object, _entry: object, dump: StackDump, _others: object) -> int:
        if self.refuses:
            raise OSError(errno.EAGAIN, "no more processes")
        self.dumps.append(dump)
        return os.getpid() + len(self.dumps)


@pytest.fixture
def forks() -> Iterator[Forks]:
    forks = Forks()
    yield forks
    for dump in forks.dumps:
        dump.close()


@pytest.fixture
def scoreboard() -> Scoreboard:
    return Scoreboard()


@pytest.fixture
def table(scoreboard: Scoreboard, forks: Forks) -> ChildTable:
    kills = SimpleNamespace()
    return ChildTable(scoreboard, cast("Fork", forks), cast("OomKills", kills))


def _spec(kind: str = "worker", count: int = 1, label: str = "") -> ChildSpec:
    return ChildSpec(kind, count, lambda _: 0, label)


def test_a_fork_that_is_refused_costs_neither_an_entry_nor_a_descriptor(
    table: ChildTable, scoreboard: Scoreboard, forks: Forks, recorder: EventRecorder
) -> None:
    refused = recorder.facts("process.fork_failed")
    forks.refuses = True
    table.add([_spec()])
    child = table.children[0]
    before = psutil.Process().num_fds()

    for _ in range(3):
        assert table.start(child, child.spec) is None

    assert psutil.Process().num_fds() == before
    assert scoreboard.free_entry() is scoreboard.entries[0]
    assert len(refused) == 3


def test_a_successor_has_the_number_of_its_predecessor(table: ChildTable) -> None:
    table.add([_spec(count=3)])
    table.fill(lambda: False)
    child = table.children[1]

    successor = table.start(child, child.spec)

    assert successor is not None
    numbers = [each.entry.number for each in table.processes.values()]
    assert numbers == [1, 2, 3, 2]


def test_a_process_that_was_asked_to_stop_is_not_asked_for_another_reason(
    table: ChildTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[int] = []

    def send(_: ChildProcess, number: int) -> None:
        sent.append(number)

    monkeypatch.setattr(ChildProcess, "send", send)
    table.add([_spec("monitor")])
    table.fill(lambda: False)
    (child,) = table.children
    table.replace(child, "reload", kill_at=5.0)

    table.replace(child, "terminated", kill_at=60.0)

    assert child.process is not None
    assert (child.process.asked, child.process.kill_at) == ("reload", 5.0)
    assert sent == [signal.SIGTERM]


def test_the_only_worker_of_a_queue_is_not_taken_away(table: ChildTable) -> None:
    table.add([_spec(count=2, label="mail"), _spec(label="reports")])

    for _ in range(3):
        table.remove_worker()

    assert [child.spec.label for child in table.children] == ["mail", "reports"]


def test_the_youngest_worker_is_taken_away_first(table: ChildTable) -> None:
    table.add([_spec(count=2)])
    oldest = table.children[0]
    table.add_worker()

    table.remove_worker()
    table.remove_worker()

    assert table.children == [oldest]


def test_a_process_that_boots_is_checked_often_until_it_works(table: ChildTable) -> None:
    table.add([_spec()])
    table.fill(lambda: False)
    (process,) = table.processes.values()

    rests = [table.boot_rest_s() for _ in range(3)]
    process.entry.tick()
    process.entry.working = 1
    rests.append(table.boot_rest_s())

    assert max(rests) <= BOOT_REST_MAX_S
    assert table.boot_rest_s() == float("inf")


@pytest.mark.parametrize("others", [0, 1])
def test_the_last_output_of_a_dead_process_belongs_to_its_only_running_job(
    table: ChildTable, monkeypatch: pytest.MonkeyPatch, others: int
) -> None:
    logged: list[Mapping[str, object]] = []

    def log(_pipes: object, facts: Mapping[str, object]) -> None:
        logged.append(facts)

    monkeypatch.setattr("jobsd.supervisor.child_table.log_unread_output", log)
    table.add([_spec()])
    table.fill(lambda: False)
    (process,) = table.processes.values()
    for number in range(1 + others):
        process.entry.started(number, 7 + number, 70)
    ended: list[tuple[int, int, object]] = [
        (process.pid, 0, SimpleNamespace(ru_maxrss=1)),
        (0, 0, None),
    ]

    def wait(*_: object) -> tuple[int, int, object]:
        return ended.pop(0)

    monkeypatch.setattr(os, "wait4", wait)

    table.reap()

    (facts,) = logged
    assert facts.get("job_id") == (None if others else 7)
    assert facts["pid"] == process.pid


@pytest.fixture
def processes(scoreboard: Scoreboard) -> Iterator[list[ChildProcess]]:
    """Two workers of different specs; signals to them come to us."""
    with closing(StackDump()) as dump:
        made: list[ChildProcess] = []
        for at, label in enumerate(("old", "new")):
            scoreboard.entries[at].take("worker", f"worker-{label}")
            spec = _spec(label=label)
            made.append(ChildProcess(spec, scoreboard.entries[at], os.getpid(), 1, dump))
        yield made


def test_a_successor_that_takes_the_place_brings_its_configuration(
    processes: list[ChildProcess],
) -> None:
    old, new = processes
    child = Child(old.spec, process=old, successor=new)

    child.vacate({"reason": "reload"})

    assert (child.process, child.successor, child.spec) == (new, None, new.spec)


def test_a_successor_that_dies_at_boot_is_not_started_again_at_once(
    processes: list[ChildProcess],
) -> None:
    old, new = processes
    child = Child(old.spec, process=old, successor=new)

    child.lose(ChildExit(new, "exit", 256, 0))

    assert (child.process, child.successor) == (old, None)
    assert child.backoff.failures == 1


def test_a_child_that_has_failed_for_days_is_still_started_again() -> None:
    backoff = Child(_spec()).backoff
    backoff.failures = 5_000

    assert 20 < backoff.note(0.0) <= 30


@pytest.mark.parametrize(("asked", "reason"), [("timeout", "timeout"), ("stop", "signal")])
def test_a_process_aborted_for_a_job_over_its_limit_has_ended_for_that(
    table: ChildTable, monkeypatch: pytest.MonkeyPatch, asked: str, reason: str
) -> None:
    table.add([_spec()])
    table.fill(lambda: False)
    (process,) = table.processes.values()
    process.asked, process.asked_by = asked, signal.SIGABRT
    ended: list[tuple[int, int, object]] = [
        (process.pid, signal.SIGABRT, SimpleNamespace(ru_maxrss=1)),
        (0, 0, None),
    ]

    def wait(*_: object) -> tuple[int, int, object]:
        return ended.pop(0)

    monkeypatch.setattr(os, "wait4", wait)

    (exited,) = table.reap()

    assert exited.reason == reason
