"""The second step of an end: a process that does not heed the first, and what is left of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import closing
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from jobsd.clock import monotonic, monotonic_ns
from jobsd.configuration.options import SupervisorOptions
from jobsd.scoreboard.scoreboard import Scoreboard
from jobsd.supervisor.child_table import ChildTable
from jobsd.supervisor.children import ChildProcess, ChildSpec
from jobsd.supervisor.hang_detection import DUMP_S, LATER_S, HangDetection
from jobsd.supervisor.orphans import Orphans
from jobsd.supervisor.overdue_stack import REASON, note_stack
from jobsd.supervisor.stack_dump import StackDump
from jobsd.supervisor.stopping import QUIT_S, Stop
from jobsd.supervisor.time_limits import TimeLimits

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.event_recorder import EventRecorder
    from jobsd.supervisor.fork import Fork
    from jobsd.supervisor.oom import OomKills


def _nothing(_: object) -> None:
    """Answer nothing."""


@pytest.fixture
def scoreboard() -> Scoreboard:
    return Scoreboard()


@pytest.fixture
def table(scoreboard: Scoreboard) -> ChildTable:
    none = SimpleNamespace()
    return ChildTable(scoreboard, cast("Fork", none), cast("OomKills", none))


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """The signals to the processes, by the kind of the process."""
    sent: list[tuple[str, int]] = []

    def send(self: ChildProcess, number: signal.Signals) -> None:
        sent.append((self.spec.kind, number))

    monkeypatch.setattr(ChildProcess, "send", send)
    return sent


@pytest.fixture
def worker(table: ChildTable, sent: list[tuple[str, int]]) -> Iterator[ChildProcess]:
    del sent  # No signal is to come to us.
    with closing(StackDump()) as dump:
        yield _process(table, "worker", dump)


def _process(table: ChildTable, kind: str, dump: StackDump | None = None) -> ChildProcess:
    entry = Scoreboard().entries[0]
    entry.take(kind, f"{kind}-1")
    pid = 1 + len(table.processes)
    spec = ChildSpec(kind, 1, lambda _: 0)
    process = ChildProcess(spec, entry, pid, 1, dump or StackDump())
    table.processes[pid] = process
    return process


def _is_overdue(process: ChildProcess, *, thread: int = 0) -> None:
    """Let a job of the process be over its time limit, by a second."""
    process.entry.started(0, 7, 70)
    limit = process.entry.hard_limit(0)
    limit.say(1.0, 1.0, ("failed", 0.0), thread)
    limit.move(monotonic() - 1)


def test_a_process_that_hangs_in_its_dump_is_not_asked_for_another(
    scoreboard: Scoreboard,
    table: ChildTable,
    worker: ChildProcess,
    sent: list[tuple[str, int]],
) -> None:
    _is_overdue(worker)
    limits = TimeLimits(scoreboard, table)
    now = monotonic()
    limits.enforce(now)
    limits.enforce(now + 10)  # It has not even noticed that it was asked.
    assert worker.kill_at == now + 10 + DUMP_S

    for later in (10.5, 10.9):
        limits.enforce(now + later)
    table.kill_overdue(now + 10 + DUMP_S)

    numbers = [signal.SIGTERM, signal.SIGABRT, signal.SIGKILL]
    assert sent == [("worker", number) for number in numbers]


@pytest.mark.parametrize("thread", [0x7F01, 0])
def test_where_the_thread_of_an_overdue_job_is_not_known_all_jobs_have_their_stacks(
    worker: ChildProcess, thread: int
) -> None:
    _is_overdue(worker, thread=thread)
    worker.asked = REASON
    assert worker.dump.fd is not None
    frame = '  File "/x/performing/calls.py", line 1 in call'
    stacks = (
        f"Thread {hex(each)} (most recent call first):\n{frame}\n" for each in (0x7F01, 2)
    )
    other = 'Thread 0x3 (most recent call first):\n  File "/x/other.py", line 1 in rest\n'
    os.write(worker.dump.fd, "\n".join([*stacks, other]).encode())

    note_stack(worker)

    assert worker.entry.stack.count("calls.py") == (1 if thread else 2)
    assert "other.py" not in worker.entry.stack
    assert worker.entry.stack_job == 7


@pytest.mark.parametrize("killed", [False, True])
def test_a_process_that_was_killed_does_not_hang(
    scoreboard: Scoreboard,
    worker: ChildProcess,
    recorder: EventRecorder,
    monkeypatch: pytest.MonkeyPatch,
    *,
    killed: bool,
) -> None:
    hung = recorder.facts("process.hung")
    monkeypatch.setattr("jobsd.supervisor.hang_detection.process_stat", _nothing)
    worker.entry.ticked_ns = monotonic_ns() - 100 * 10**9
    worker.killed = killed

    HangDetection(scoreboard, SupervisorOptions()).kill_hung([worker])

    assert len(hung) == (0 if killed else 1)


def test_after_a_stall_a_process_that_stands_is_not_checked_all_the_time(
    scoreboard: Scoreboard, worker: ChildProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker.entry.ticked_ns = monotonic_ns() - 100 * 10**9
    watch = HangDetection(scoreboard, SupervisorOptions())
    resumed = monotonic() + 1_000
    monkeypatch.setattr("jobsd.supervisor.hang_detection.monotonic", lambda: resumed)

    watch.kill_hung([worker])

    hang_s = SupervisorOptions().hang_timeout_s
    assert watch.next_due == pytest.approx(resumed + hang_s + LATER_S, abs=0.1)
    assert worker.asked == ""


def test_a_stop_at_once_does_not_wait_for_the_hooks(
    scoreboard: Scoreboard, table: ChildTable, sent: list[tuple[str, int]]
) -> None:
    hooks = _process(table, "hooks")
    with closing(hooks.dump):
        orphans = cast("Orphans", SimpleNamespace(terminate=_nothing))
        stop = Stop(scoreboard, table, orphans)
        stop.begin(0.0, 60.0)

        stop.hasten(1.0)

        assert hooks.kill_at == 1.0 + QUIT_S
        assert sent == [("hooks", signal.SIGQUIT)]


def test_a_process_that_takes_its_time_to_die_is_killed_once(
    scoreboard: Scoreboard,
    table: ChildTable,
    worker: ChildProcess,
    recorder: EventRecorder,
    sent: list[tuple[str, int]],
) -> None:
    killed = recorder.facts("process.killed")
    stop = Stop(scoreboard, table, cast("Orphans", SimpleNamespace(terminate=_nothing)))
    stop.begin(0.0, 5.0)

    for now in (5.0, 5.01, 5.05):
        assert not stop.advance(now)

    assert worker.killed
    assert [facts["reason"] for facts in killed] == ["stop"]
    assert sent == [("worker", signal.SIGTERM), ("worker", signal.SIGKILL)]


def test_the_time_that_a_kill_took_is_taken_from_the_monitor(
    scoreboard: Scoreboard, table: ChildTable, sent: list[tuple[str, int]]
) -> None:
    monitor = _process(table, "monitor")
    with closing(monitor.dump):
        stop = Stop(scoreboard, table, cast("Orphans", SimpleNamespace(terminate=_nothing)))
        stop.begin(0.0, 5.0)

        stop.advance(5.5)

        assert monitor.kill_at == pytest.approx(5.9)
        assert stop.next_due() == pytest.approx(6.0)
        assert sent == [("monitor", signal.SIGTERM)]


def test_of_two_overdue_jobs_the_first_to_have_had_its_time_ends_the_process(
    scoreboard: Scoreboard,
    table: ChildTable,
    worker: ChildProcess,
    sent: list[tuple[str, int]],
) -> None:
    began = monotonic()
    for cell, grace_s in enumerate((60.0, 2.0)):
        worker.entry.started(cell, 7 + cell, 70)
        limit = worker.entry.hard_limit(cell)
        limit.say(1.0, grace_s, ("failed", 0.0))
        limit.move(began - 1)
    limits = TimeLimits(scoreboard, table)
    limits.enforce(began)
    worker.entry.ticked_ns = monotonic_ns() + 10**9

    limits.enforce(began + 1.9)
    assert sent == [("worker", signal.SIGTERM)]
    limits.enforce(began + 2.1)

    assert sent == [("worker", signal.SIGTERM), ("worker", signal.SIGKILL)]


SLEEPS = "import signal, sys; print('up', flush=True); signal.pause()"


@pytest.mark.parametrize("own_session", [False, True])
def test_orphans_are_asked_to_end_but_for_servers_with_a_session_of_their_own(
    *, own_session: bool
) -> None:
    orphans = Orphans()
    with subprocess.Popen(
        [sys.executable, "-c", SLEEPS], stdout=subprocess.PIPE, start_new_session=own_session
    ) as left:
        assert left.stdout is not None
        assert left.stdout.readline() == b"up\n"
        try:
            orphans.terminate(frozenset())
            if not own_session:
                assert left.wait(10) == -signal.SIGTERM
        finally:
            left.kill()
        assert left.wait(10) == (-signal.SIGKILL if own_session else -signal.SIGTERM)


def test_a_stop_asks_the_orphans_to_end_before_it_kills_them(
    scoreboard: Scoreboard, table: ChildTable, worker: ChildProcess
) -> None:
    asked: list[frozenset[int]] = []
    orphans = cast("Orphans", SimpleNamespace(terminate=asked.append))
    stop = Stop(scoreboard, table, orphans)
    stop.begin(0.0, 5.0)
    assert not stop.advance(1.0)
    assert asked == []
    del table.processes[worker.pid]
    monitor = _process(table, "monitor")
    with closing(monitor.dump):
        stop.advance(2.0)

    assert asked == [frozenset({monitor.pid})]
