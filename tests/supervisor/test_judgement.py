"""The small rules of the supervisor, without any process."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from jobsd.clock import monotonic, monotonic_ns
from jobsd.configuration.options import SupervisorOptions
from jobsd.scoreboard.scoreboard import Scoreboard
from jobsd.supervisor.children import Backoff
from jobsd.supervisor.hang_detection import LATER_S, HangDetection
from jobsd.supervisor.oom import OomKills
from jobsd.supervisor.status import StatusReport
from jobsd.supervisor.stopping import AT_ONCE_S, MONITOR_S, Stop
from jobsd.supervisor.stopping import DYING_S as STOP_DYING_S

if TYPE_CHECKING:
    from pathlib import Path

    from jobsd.supervisor.child_table import ChildTable
    from jobsd.supervisor.children import ChildProcess
    from jobsd.supervisor.orphans import Orphans

DYING_S = 3.0
"""How long a process may take to end that the kernel has killed."""
VERSION_1 = "oom_kill_disable 0\nunder_oom 0\noom_kill {}\n"


def test_the_wait_doubles_from_a_quarter_of_a_second_to_half_a_minute() -> None:
    backoff = Backoff()

    waits = [backoff.note(0.5) for _ in range(20)]

    expected = [0.25, 0.5, 1, 2, 4, 8, 16, *[30] * 13]
    assert all(0.8 * e <= w <= e for e, w in zip(expected, waits, strict=True)), waits


def test_places_that_fail_together_do_not_stay_together() -> None:
    assert len({Backoff().note(0.0) for _ in range(10)}) == 10


def test_a_process_that_worked_never_waits_for_its_restart() -> None:
    backoff = Backoff()

    assert [backoff.note(2.1) for _ in range(50)] == [0.0] * 50


def test_a_process_that_had_worked_ends_the_failures_before_it() -> None:
    backoff = Backoff()
    for _ in range(6):
        backoff.note(0.0)

    backoff.note(3.0)

    assert backoff.note(0.0) <= 0.25


def test_a_counted_kill_explains_one_death_only(tmp_path: Path) -> None:
    counter = tmp_path / "memory.oom_control"
    counter.write_text(VERSION_1.format(7))
    kills = OomKills((tmp_path / "missing", counter))
    assert not kills.explain()

    counter.write_text(VERSION_1.format(8))

    assert [kills.explain(), kills.explain()] == [True, False]


def test_a_kill_is_still_known_in_the_round_after_it_was_counted(tmp_path: Path) -> None:
    counter = tmp_path / "memory.events"
    counter.write_text("low 0\noom_kill 0\noom_group_kill 0\n")
    kills = OomKills((counter,))
    counter.write_text("low 0\noom_kill 1\noom_group_kill 0\n")

    kills.count()

    assert kills.explain()


@pytest.mark.parametrize(("later_s", "explains"), [(DYING_S - 1, True), (3_600, False)])
def test_a_kill_explains_only_a_death_that_follows_soon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, later_s: float, *, explains: bool
) -> None:
    # On a machine without control groups the counter is that of all its processes.
    now = monotonic()
    monkeypatch.setattr("jobsd.supervisor.oom.monotonic", lambda: now)
    counter = tmp_path / "vmstat"
    counter.write_text("oom_kill 7\n")
    kills = OomKills((counter,))
    counter.write_text("oom_kill 8\n")
    kills.count()

    now += later_s
    kills.count()

    assert kills.explain() == explains


def test_without_a_counter_no_death_is_put_down_to_memory() -> None:
    kills = OomKills(())

    kills.count()

    assert not kills.explain()


def test_a_supervisor_that_is_stopped_during_a_check_kills_no_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = monotonic()
    asked: list[str] = []

    class ScoreboardEntry:
        @property
        def tick_age_s(self) -> float:
            nonlocal now
            now += 10  # all stand still meanwhile
            return 10.0

    def dismiss(reason: str, *_: object) -> None:
        asked.append(reason)

    monkeypatch.setattr("jobsd.supervisor.hang_detection.monotonic", lambda: now)
    options = SupervisorOptions(hang_timeout=2)
    child = SimpleNamespace(
        entry=ScoreboardEntry(),
        spec=SimpleNamespace(kind="worker"),
        asked="",
        killed=False,
        dismiss=dismiss,
    )

    HangDetection(Scoreboard(), options).kill_hung([cast("ChildProcess", child)])

    assert asked == []


def _pass(*_: object) -> None:
    pass


@pytest.mark.parametrize(("age_s", "asked"), [(0.1, []), (60.0, ["hung"])])
def test_a_new_monitor_is_not_judged_by_the_last_poll_of_the_one_before(
    age_s: float, asked: list[str]
) -> None:
    seen: list[str] = []
    scoreboard = Scoreboard()
    scoreboard.monitor_polled_ns = monotonic_ns() - 120 * 10**9
    entry = SimpleNamespace(tick_age_s=0.0, age_s=age_s, in_cells=dict)

    def dismiss(reason: str, *_: object) -> None:
        seen.append(reason)

    monitor = SimpleNamespace(
        entry=entry,
        spec=SimpleNamespace(kind="monitor"),
        asked="",
        killed=False,
        pid=os.getpid(),
        facts=dict,
        dismiss=dismiss,
    )

    HangDetection(scoreboard, SupervisorOptions()).kill_hung([cast("ChildProcess", monitor)])

    assert seen == asked


def test_a_stop_that_is_hastened_hastens_the_monitor_too() -> None:
    ends_by: list[float] = []

    def dismiss(_reason: str, kill_at: float) -> None:
        ends_by.append(kill_at)

    def of(*kinds: str) -> list[object]:
        return [SimpleNamespace(dismiss=dismiss)] if "monitor" in kinds else []

    table = SimpleNamespace(of=of, kill_overdue=_pass, processes={})
    orphans = SimpleNamespace(terminate=_pass)
    stop = Stop(Scoreboard(), cast("ChildTable", table), cast("Orphans", orphans))
    stop.begin(0.0, 60.0)
    ended = stop.advance(1.0)  # Nobody else is left.

    stop.hasten(1.1)

    assert (ended, ends_by) == (False, [1.0 + MONITOR_S, 1.1 + AT_ONCE_S])
    assert not stop.advance(1.1 + AT_ONCE_S)
    assert stop.advance(1.1 + AT_ONCE_S + STOP_DYING_S)


@pytest.mark.parametrize("stopping", [0, 1])
def test_a_tree_that_was_stopped_while_it_came_up_is_never_ready(
    monkeypatch: pytest.MonkeyPatch, stopping: int
) -> None:
    # To systemd a unit that was ready once has started, whatever it has said before.
    monkeypatch.setattr("jobsd.supervisor.status.set_title", _pass)
    up = SimpleNamespace(process=SimpleNamespace(up=True))
    table = SimpleNamespace(children=[up], processes={})
    sent: list[str] = []
    scoreboard = Scoreboard()
    scoreboard.stopping = stopping

    report = StatusReport(scoreboard, cast("ChildTable", table), sent.append, None)
    report.report(monotonic())

    assert ("READY=1" in sent, scoreboard.ready) == (not stopping, not stopping)


def test_the_next_check_of_a_process_that_stands_is_when_it_has_hung() -> None:
    options = SupervisorOptions()

    def child(age_s: float, asked: str = "", *, killed: bool = False) -> ChildProcess:
        entry, spec = SimpleNamespace(tick_age_s=age_s), SimpleNamespace(kind="worker")
        made = SimpleNamespace(entry=entry, spec=spec, asked=asked, killed=killed)
        return cast("ChildProcess", made)

    watch = HangDetection(Scoreboard(), options)

    watch.kill_hung(
        [child(39.9, "hung"), child(39.9, killed=True), child(0.1), child(39.5), child(20)]
    )

    assert 0.3 < watch.next_due - monotonic() <= 0.5 + LATER_S
