"""The life of a process: boot, rounds, outages, the end."""

from __future__ import annotations

import os
import signal
import threading
from typing import TYPE_CHECKING

import psycopg
import pytest

from harness.event_recorder import Emitted, EventRecorder, names
from jobsd.processes.nap import Nap
from jobsd.processes.process import (
    PAUSED_REST_MAX_S,
    QUIET,
    REST_MAX_S,
    UNREAD_REST_MAX_S,
    listen_to_signals,
    run,
)
from jobsd.scoreboard.entry import UP
from waiting import Stopwatch

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobsd.processes.context import Context


class Loop:
    """A loop that does what its script says, one entry a call of `poll`; then it stops."""

    kind = "worker"

    def __init__(self, context: Context, *script: Callable[[], object]) -> None:
        self.context = context
        self.script = list(script)
        self.calls: list[str] = []
        self.rests = 1
        self.rest_s = 0.0

    def connect(self) -> None:
        self.calls.append("connect")

    def disconnect(self) -> None:
        self.calls.append("disconnect")

    def poll(self) -> float:
        self.calls.append("poll")
        if self.script:
            self.script.pop(0)()
        else:
            self.context.request_stop()
        return self.rest_s

    def socket(self) -> int | None:
        return None

    def doing(self) -> str:
        return ""

    def stop(self) -> None:
        self.calls.append("stop")

    @property
    def stopped(self) -> bool:
        return "stop" in self.calls and self.calls.count("poll") > self.rests

    def farewell(self) -> None:
        self.calls.append("farewell")


@pytest.fixture
def events(recorder: EventRecorder) -> Emitted:
    return recorder.events()


def fails(error: Exception) -> Callable[[], None]:
    def fail() -> None:
        raise error

    return fail


LOST = psycopg.OperationalError("the server went away")


def test_a_process_connects_polls_stops_and_takes_its_leave(
    context: Context, events: Emitted
) -> None:
    loop = Loop(context)

    status = run(loop, context)

    assert status == 0
    assert loop.calls == ["connect", "poll", "stop", "poll", "farewell"]
    assert names(events) == ["process.started", "process.stopped"]
    assert context.entry.state == UP


def test_a_loop_that_would_rest_for_ever_comes_round_all_the_same(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobsd.processes.process.REST_MAX_S", 0.01)
    loop = Loop(context, lambda: None, lambda: None)
    loop.rest_s = 3600.0

    run(loop, context)

    assert loop.calls.count("poll") >= 3


def test_it_works_on_until_its_loop_may_go(context: Context) -> None:
    loop = Loop(context)
    loop.rests = 4

    run(loop, context)

    assert loop.calls == ["connect", "poll", "stop", "poll", "poll", "poll", "poll", "farewell"]


def test_an_outage_is_waited_out_and_reported_once_at_each_end(
    context: Context, events: Emitted
) -> None:
    loop = Loop(context, lambda: None, fails(LOST), fails(LOST))

    run(loop, context)

    again = ["disconnect", "connect"]
    assert loop.calls[:8] == ["connect", "poll", "poll", *again, "poll", *again]
    assert context.entry.database_down == context.scoreboard.outage_since_ns == 0
    assert names(events) == [
        "process.started",
        "database.unavailable",
        "database.available",
        "process.stopped",
    ]


def test_a_database_that_was_never_there_is_waited_for(
    context: Context, events: Emitted
) -> None:
    loop = Loop(context, fails(LOST), fails(LOST))

    run(loop, context)

    assert names(events)[1:3] == ["database.awaited", "database.available"]


def test_a_connection_that_can_be_replaced_at_once_is_no_outage(
    context: Context, events: Emitted
) -> None:
    loop = Loop(context, lambda: None, fails(LOST))

    run(loop, context)

    assert names(events) == ["process.started", "database.reconnected", "process.stopped"]


@pytest.mark.parametrize("what", ["Table", "Column", "Function"])
def test_tables_that_are_not_there_yet_or_too_old_are_waited_for(
    context: Context, what: str
) -> None:
    missing = getattr(psycopg.errors, f"Undefined{what}")
    loop = Loop(context, fails(missing("no such thing")))

    assert run(loop, context) == 0


def test_an_outage_does_not_keep_a_process_that_may_go(
    context: Context, events: Emitted
) -> None:
    loop = Loop(context, context.request_stop, fails(LOST))

    run(loop, context)

    assert loop.calls == ["connect", "poll", "stop", "poll", "disconnect", "farewell"]
    assert "database.available" not in names(events)


def test_an_error_of_its_own_ends_the_process(context: Context) -> None:
    loop = Loop(context, fails(ZeroDivisionError()))

    with pytest.raises(ZeroDivisionError):
        run(loop, context)


def test_a_farewell_that_fails_ends_the_process_all_the_same(context: Context) -> None:
    loop = Loop(context)
    loop.farewell = fails(LOST)  # type: ignore[method-assign]

    assert run(loop, context) == 0


def test_each_round_ticks(context: Context) -> None:
    ticks: list[int] = []
    loop = Loop(context, *[lambda: ticks.append(context.entry.ticked_ns)] * 3)

    run(loop, context)

    first, second, third = ticks
    assert 0 < first < second < third


def test_a_stop_from_a_thread_ends_the_rest(context: Context) -> None:
    loop = Loop(context)
    loop.poll = lambda: 30.0  # type: ignore[method-assign]
    loop.rests = -1
    threading.Timer(0.02, context.request_stop).start()
    watch = Stopwatch()

    run(loop, context)

    assert watch.took() < 20


def fork(act: Callable[[], object]) -> int:
    """Run something in a child; return its wait status as `waitstatus_to_exitcode` has it."""
    pid = os.fork()
    if pid == 0:
        try:
            act()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_term_asks_to_stop_and_quit_leaves_at_once(context: Context) -> None:
    def terminated() -> None:
        listen_to_signals(context)
        signal.raise_signal(signal.SIGTERM)
        os._exit(3 if context.stopping else 4)

    def quits() -> None:
        listen_to_signals(context)
        signal.raise_signal(signal.SIGQUIT)
        os._exit(4)

    assert (fork(terminated), fork(quits)) == (3, 0)


def test_a_term_from_the_death_of_the_supervisor_sets_an_alarm(context: Context) -> None:
    def orphaned() -> None:
        context.scoreboard.supervisor_pid = 1
        context.lifeline = 0
        listen_to_signals(context)
        signal.raise_signal(signal.SIGTERM)
        threading.Event().wait(10)

    watch = Stopwatch()

    assert fork(orphaned) == -signal.SIGALRM
    assert 0.6 < watch.took() < 9


def test_a_term_while_the_supervisor_lives_sets_none(context: Context) -> None:
    def asked() -> None:
        context.scoreboard.supervisor_pid = os.getppid()
        context.lifeline = 0
        listen_to_signals(context)
        signal.raise_signal(signal.SIGTERM)
        os._exit(3 if signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0) else 4)

    assert fork(asked) == 3


def test_a_process_that_is_to_be_quiet_does_not_stop(context: Context) -> None:
    def asked() -> None:
        listen_to_signals(context)
        signal.raise_signal(QUIET)
        os._exit(3 if context.quiet and not context.stopping else 4)

    assert fork(asked) == 3


def test_signals_that_are_not_its_own_are_handled_by_doing_nothing(context: Context) -> None:
    def bothered() -> None:
        listen_to_signals(context)
        numbers = [signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2]
        for number in (*numbers, signal.SIGTTIN, signal.SIGTTOU):
            signal.raise_signal(number)
        os._exit(4 if context.stopping or context.quiet else 3)

    assert fork(bothered) == 3


@pytest.mark.parametrize(
    ("word", "longest_s"),
    [
        ("", REST_MAX_S),
        ("journals_unread", UNREAD_REST_MAX_S),
        ("everything_paused", PAUSED_REST_MAX_S),
    ],
)
def test_while_the_monitor_may_soon_end_a_wait_it_polls_soon(
    context: Context, monkeypatch: pytest.MonkeyPatch, word: str, longest_s: float
) -> None:
    rests: list[float] = []

    def take(_self: Nap, seconds: float, _sockets: object = ()) -> list[int]:
        rests.append(seconds)
        return []

    monkeypatch.setattr(Nap, "take", take)
    if word:
        setattr(context.scoreboard, word, 1)
    loop = Loop(context, lambda: None)
    loop.rest_s = 3600.0

    run(loop, context)

    assert rests[0] == longest_s
