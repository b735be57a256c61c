"""When hooks are called in the life of a process, and how long it waits for them."""

from __future__ import annotations

import select
import threading
from typing import TYPE_CHECKING, Any

import pytest

import jobsd
from jobsd.events import events, hooks
from jobsd.processes import lifecycle_hooks
from jobsd.processes.context import Context
from jobsd.processes.process import run
from jobsd.scoreboard.hook_line import HookLine
from jobsd.scoreboard.scoreboard import Scoreboard
from waiting import Stopwatch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from harness.event_recorder import EventRecorder
    from jobsd import Process


class Loop:
    """A loop of one round, that notes what is done with it."""

    def __init__(self, kind: str, context: Context, notes: list[str]) -> None:
        self.kind = kind
        self.context = context
        self.notes = notes

    def connect(self) -> None:
        self.context.entry.row_id = 7
        self.notes.append("registers")

    def disconnect(self) -> None:
        pass

    def poll(self) -> float:
        self.notes.append("works")
        self.context.request_stop()
        return 0.0

    def socket(self) -> int | None:
        return None

    def doing(self) -> str:
        return ""

    def stop(self) -> None:
        self.notes.append("drains")

    @property
    def stopped(self) -> bool:
        return "drains" in self.notes

    def farewell(self) -> None:
        self.context.entry.row_id = 0
        self.notes.append("deregisters")


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    """Forget at the end what a test has registered."""
    yield
    hooks.reset()


@pytest.fixture
def failures(recorder: EventRecorder) -> list[dict[str, Any]]:
    """What was told of hooks that have failed."""
    return recorder.facts("hook.failed")


def life(kind: str, notes: list[str], line: HookLine | None = None) -> Context:
    """Let a process of a kind live once; return its context."""
    scoreboard = Scoreboard()
    scoreboard.hook_line = line
    scoreboard.entries[0].take(kind, f"{kind}-1")
    context = Context(scoreboard, scoreboard.entries[0], f"{kind}-1")
    run(Loop(kind, context, notes), context)
    return context


def noting(notes: list[str], stage: str) -> Callable[[Process], None]:
    """Return a hook that notes its stage."""

    def note(process: Process) -> None:
        notes.append(f"{stage} {process.name} row {process.id}")

    return note


@pytest.mark.behaviour(35)
def test_hooks_are_called_once_registered_before_the_drain_and_when_the_row_is_gone() -> None:
    notes: list[str] = []
    jobsd.on_worker_start(noting(notes, "start"))
    jobsd.on_worker_stop(noting(notes, "stop"))
    jobsd.on_worker_exit(noting(notes, "exit"))

    life("worker", notes)

    assert [note for note in notes if note != "works"] == [
        "registers",
        "start worker-1 row 7",
        "stop worker-1 row 7",
        "drains",
        "deregisters",
        "exit worker-1 row 7",
    ]


def test_a_process_that_is_stopped_before_it_has_started_calls_no_hooks() -> None:
    notes: list[str] = []
    jobsd.on_worker_start(noting(notes, "start"))
    jobsd.on_worker_exit(noting(notes, "exit"))
    scoreboard = Scoreboard()
    scoreboard.entries[0].take("worker", "worker-1")
    context = Context(scoreboard, scoreboard.entries[0], "worker-1", stopping=True)

    run(Loop("worker", context, notes), context)

    assert not [note for note in notes if "row" in note]


def test_hooks_of_other_kinds_are_not_called() -> None:
    notes: list[str] = []
    jobsd.on_scheduler_start(noting(notes, "start"))
    jobsd.on_start(noting(notes, "start"))

    life("worker", notes)

    assert not [note for note in notes if "row" in note]


@pytest.mark.parametrize("stage", ["start", "stop", "exit"])
def test_a_hook_that_hangs_is_reported_with_its_stack_and_the_process_goes_on(
    stage: str, monkeypatch: pytest.MonkeyPatch, failures: list[dict[str, Any]]
) -> None:
    monkeypatch.setattr(lifecycle_hooks, "START_S", 0.1)
    monkeypatch.setattr(lifecycle_hooks, "END_S", 0.1)
    release = threading.Event()

    def hang(_process: Process) -> None:
        release.wait(60)

    hooks.LifecycleHook(f"on_worker_{stage}")(hang)
    notes: list[str] = []
    watch = Stopwatch()

    life("worker", notes)

    release.set()
    assert watch.took() < 15
    assert notes[-1] == "deregisters"
    (reported,) = failures
    assert reported["hook"] == f"on_worker_{stage}"
    assert "in hang" in reported["error"]["stack"]


def test_the_loop_ticks_while_it_waits_for_a_hook() -> None:
    scoreboard = Scoreboard()
    scoreboard.entries[0].take("worker", "worker-1")
    context = Context(scoreboard, scoreboard.entries[0], "worker-1")
    ages = [0.0]

    @jobsd.on_worker_start
    def notice(_process: Process) -> None:
        pause = threading.Event()
        while ages[-1] >= ages[-2:][0] and len(ages) < 2000:
            pause.wait(0.005)
            ages.append(context.entry.tick_age_s)

    run(Loop("worker", context, []), context)

    assert ages[-1] < ages[-2]


def test_a_process_without_the_modules_sends_to_the_hooks_process() -> None:
    line = HookLine(frozenset({"on_dispatcher_stop", "on_dispatcher_exit"}), frozenset())

    context = life("dispatcher", [], line)

    reported = line.receive()
    assert [message["hook"] for message in reported] == [
        "on_dispatcher_stop",
        "on_dispatcher_exit",
    ]
    assert reported[0]["process"]["name"] == context.name


def test_work_waits_for_the_hooks_process_but_not_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lifecycle_hooks, "START_S", 0.1)
    monkeypatch.setattr(lifecycle_hooks, "CALL_S", 0.1)
    notes: list[str] = []
    watch = Stopwatch()

    life("dispatcher", notes, HookLine(frozenset({"on_dispatcher_start"}), frozenset()))

    assert 0.2 <= watch.took() < 2
    assert "works" in notes


def test_work_begins_once_the_hooks_process_has_called() -> None:
    line = HookLine(frozenset({"on_dispatcher_start"}), frozenset())
    scoreboard = Scoreboard()
    scoreboard.hook_line = line
    scoreboard.entries[0].take("dispatcher", "dispatcher-1")
    context = Context(scoreboard, scoreboard.entries[0], "dispatcher-1")
    notes: list[str] = []

    def call() -> None:
        pause = threading.Event()
        while not line.receive():
            pause.wait(0.001)
        notes.append("called")
        scoreboard.entries[0].start_hooks_done = 1

    caller = threading.Thread(target=call)
    caller.start()
    run(Loop("dispatcher", context, notes), context)
    caller.join()

    assert notes[:3] == ["registers", "called", "works"]


@pytest.mark.failure(
    "The process that calls hooks stands still.",
    "No process waits for it; its events are dropped",
)
def test_a_full_line_without_a_reader_holds_up_no_process(
    failures: list[dict[str, Any]],
) -> None:
    line = HookLine(frozenset({"on_dispatcher_stop"}), frozenset())
    for filling in ("x" * 3000, ""):
        while line.send({"hook": "on_dispatcher_stop", "filling": filling}):
            pass

    life("dispatcher", [], line)

    assert failures == [
        {"hook": "on_dispatcher_stop", "error": "the hooks process does not listen"}
    ]


def test_an_event_goes_over_the_line_with_its_longest_facts_cut() -> None:
    line = HookLine(frozenset(), frozenset({"thread.failed"}))
    line.begin_forwarding()

    events.emit("thread.failed", error=ValueError("x" * 9000), thread="rounds")

    line.end_forwarding()
    events.emit("thread.failed", error=ValueError(), thread="rounds")
    (message,) = line.receive()
    assert message["event"] == "thread.failed"
    assert message["facts"]["error"]["type"] == "ValueError"


def test_an_event_with_facts_too_large_for_the_line_is_sent_without_them() -> None:
    line = HookLine(frozenset(), frozenset({"thread.failed"}))
    many = {f"fact_{number}": "x" * 900 for number in range(6)}

    line.forward(events.EVENTS["thread.failed"], many)
    line.forward(events.EVENTS["thread.failed"], {"thread": "rounds"})

    assert [message["facts"] for message in line.receive()] == [{}, {"thread": "rounds"}]


def test_a_message_that_could_be_torn_is_not_sent() -> None:
    line = HookLine(frozenset(), frozenset())

    assert not line.send({"hook": "on_start", "filling": "x" * select.PIPE_BUF})
    assert line.receive() == []


def test_a_process_that_is_asked_to_stop_does_not_wait_long_for_its_start_hooks(
    monkeypatch: pytest.MonkeyPatch, failures: list[dict[str, Any]]
) -> None:
    monkeypatch.setattr(lifecycle_hooks, "START_S", 60.0)
    monkeypatch.setattr(lifecycle_hooks, "END_S", 0.1)
    release = threading.Event()
    scoreboard = Scoreboard()
    scoreboard.entries[0].take("worker", "worker-1")
    context = Context(scoreboard, scoreboard.entries[0], "worker-1")

    @jobsd.on_worker_start
    def hangs() -> None:
        context.request_stop()
        release.wait(60)

    watch = Stopwatch()
    lifecycle_hooks.LifecycleHooks(context, "worker").start()
    release.set()

    assert watch.took() < 30
    assert [failed["hook"] for failed in failures] == ["on_worker_start"]
