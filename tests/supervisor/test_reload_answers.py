"""What those hear who have asked for a reload, and what systemd hears of it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from jobsd.clock import monotonic
from jobsd.scoreboard.scoreboard import Scoreboard
from jobsd.supervisor.children import EXIT_CONFIGURATION, Child, ChildProcess, ChildSpec
from jobsd.supervisor.reload import EXIT_FAILED, Reload
from jobsd.supervisor.rolling_restart import RollingRestart

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobsd.supervisor.child_table import ChildTable
    from jobsd.supervisor.requests import Requester


class Asker:
    """A command that has asked, and what it has heard."""

    def __init__(self) -> None:
        self.heard: list[tuple[int, str]] = []

    def acknowledge(self, word: str) -> None:
        assert word == "reload"

    def answer(self, status: int, message: str = "", **_: object) -> None:
        self.heard.append((status, message))


def _spec(label: str = "") -> ChildSpec:
    return ChildSpec("worker", 1, lambda _: 0, label)


class Played:
    """A reload of a tree of one worker, whose successor works when the test says so."""

    def __init__(self) -> None:
        self.read: Sequence[ChildSpec] | Exception = [_spec("new")]
        self.sent: list[str] = []
        self.retired: list[Child] = []
        self.old, self.new = _process(1), _process(2)
        child = Child(_spec("old"), process=cast("ChildProcess", self.old))
        self.children = [child]
        table = SimpleNamespace(
            children=self.children,
            processes={1: self.old, 2: self.new},
            start=self._start,
            retire=self.retired.append,
            replace=lambda *_: None,  # pyright: ignore[reportUnknownLambdaType]
        )
        self.rolling_restart = RollingRestart(cast("ChildTable", table), 0.0)
        self.reload = Reload(
            Scoreboard(),
            cast("ChildTable", table),
            self.rolling_restart,
            self._read,
            self.sent.append,
        )

    def ask(self, *, stopping: bool = False) -> Asker:
        """Ask for a reload, and let it begin."""
        asker = Asker()
        self.reload.request(cast("Requester", asker), stopping=stopping)
        if not stopping:
            self.reload.begin(monotonic() + 1)
        return asker

    def go_on(self) -> None:
        """Take the steps that can be taken."""
        for _ in range(3):
            self.rolling_restart.advance(monotonic() + 100)
            self.reload.finish_if_done(monotonic())

    def _read(self) -> Sequence[ChildSpec]:
        if isinstance(self.read, Exception):
            raise self.read
        return self.read

    def _start(self, _child: Child, spec: ChildSpec) -> SimpleNamespace:
        self.new.spec = spec
        return self.new


def _process(pid: int) -> SimpleNamespace:
    def dismiss(*_: object) -> None:
        """Do as if it went on for a while."""

    entry = SimpleNamespace(name=f"worker-{pid}")
    return SimpleNamespace(pid=pid, entry=entry, at_work=False, dismiss=dismiss)


@pytest.fixture
def played() -> Played:
    return Played()


def test_systemd_hears_that_a_reload_has_begun_and_that_it_is_done(played: Played) -> None:
    asker = played.ask()
    played.go_on()
    assert [line.partition("\n")[0] for line in played.sent] == ["RELOADING=1"]
    assert asker.heard == []

    played.new.at_work = True
    played.go_on()

    assert played.sent[1:] == ["READY=1"]
    assert asker.heard == [(0, "")]


def test_a_refused_reload_answers_its_caller_and_the_one_under_way_continues(
    played: Played,
) -> None:
    first = played.ask()
    played.go_on()
    played.read = ValueError("no such thing")

    second = played.ask()

    assert (first.heard, second.heard) == ([], [(EXIT_CONFIGURATION, "error: no such thing")])
    assert "READY=1" not in played.sent
    played.new.at_work = True
    played.go_on()
    assert first.heard == [(0, "")]
    assert played.sent[-1] == "READY=1"
    assert len(second.heard) == 1


def test_a_refusal_has_no_password(played: Played) -> None:
    played.read = ValueError("can't connect to postgresql://ann:s3cr3t@db/shop")

    asker = played.ask()

    ((_, message),) = asker.heard
    assert "postgresql://ann:***@db/shop" in message


def test_a_reload_during_the_stop_is_refused_at_once(played: Played) -> None:
    under_way = played.ask()
    played.go_on()

    late = played.ask(stopping=True)

    stops = [(EXIT_FAILED, "error: the supervisor is stopping")]
    assert (under_way.heard, late.heard) == (stops, stops)


def test_a_worker_that_was_added_meanwhile_becomes_one_of_its_own_queue(
    played: Played,
) -> None:
    played.read = [_spec("mail"), _spec("reports")]
    played.children[0].spec = _spec("mail")
    added = Child(_spec("reports"))
    played.ask()
    # TTIN comes once the steps of the reload are planned.
    played.children.append(added)
    played.new.at_work = True

    played.go_on()

    assert added.spec is played.read[1]
