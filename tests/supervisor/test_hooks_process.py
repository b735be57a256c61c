"""The hooks process: whom it answers, and what it calls last."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

import threading
from dataclasses import asdict
from typing import TYPE_CHECKING

import pytest

import jobsd
from jobsd.events import hooks
from jobsd.events.hooks import Process
from jobsd.processes.context import Context
from jobsd.scoreboard.hook_line import HookLine
from jobsd.scoreboard.scoreboard import Scoreboard
from jobsd.supervisor.events import emit
from jobsd.supervisor.hooks_process import HooksProcess
from waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    """Forget at the end what a test has registered."""
    yield
    hooks.reset()


@pytest.fixture
def called_by() -> tuple[HooksProcess, HookLine]:
    scoreboard = Scoreboard()
    scoreboard.entries[0].take("hooks", "hooks-1")
    line = HookLine(frozenset(), frozenset())
    context = Context(scoreboard, scoreboard.entries[0], "hooks-1")
    return HooksProcess(context, line), line


def test_an_answer_that_comes_late_is_not_for_the_next_process_of_the_entry(
    called_by: tuple[HooksProcess, HookLine],
) -> None:
    process, _ = called_by
    entry = process._scoreboard.entries[1]
    entry.take("dispatcher", "dispatcher-2")

    process._answer({"entry": 1, "process": {"name": "dispatcher-1"}})
    assert entry.start_hooks_done == 0
    process._answer({"entry": 1, "process": {"name": "dispatcher-2"}})

    assert entry.start_hooks_done == 1


def test_the_exit_of_the_supervisor_comes_after_all_others(
    called_by: tuple[HooksProcess, HookLine],
) -> None:
    process, line = called_by
    called: list[str] = []
    release = threading.Event()

    @jobsd.on_monitor_exit
    def slow() -> None:
        release.wait(60)
        called.append("monitor")

    @jobsd.on_exit
    def last() -> None:
        called.append("supervisor")

    for kind, hook in (("monitor", "on_monitor_exit"), ("supervisor", "on_exit")):
        who = Process(kind, f"{kind}-1", 1, "here", 7)
        assert line.send({"hook": hook, "process": asdict(who)})
    process.poll()
    running = process.doing()
    release.set()
    wait_until(lambda: bool(process.poll()) and len(called) == 2)

    assert running == "calling on_monitor_exit"
    assert called == ["monitor", "supervisor"]


def test_a_line_of_the_supervisor_that_a_subscriber_has_lost_is_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(_name: str, **_facts: object) -> None:
        raise ValueError("no room")

    scoreboard = Scoreboard()
    monkeypatch.setattr("jobsd.events.events.emit", fail)

    emit(scoreboard, "process.reaped", pid=1, status=0)

    assert scoreboard.dropped_lines == 1
