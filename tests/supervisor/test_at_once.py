"""All that changes a tree, at once: deaths, reloads, successions, more places and fewer."""

from __future__ import annotations

import os
import random
import signal
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.stub_tree import StubTree

    Start = Callable[..., StubTree]

ROUNDS = 40


@pytest.mark.failure(
    "Workers die, are recycled and hang at boot during reloads; TTIN and TTOU change how many",
    "In the end there are as many workers as the configuration says; no other process is"
    " left, none is missing, and the supervisor has not ended",
)
@pytest.mark.parametrize("seed", range(4))
def test_after_any_mix_of_deaths_and_signals_the_tree_has_its_intended_processes(
    start: Start, seed: int
) -> None:
    tree = start(("monitor", 1), ("dispatcher", 1), ("worker", 3), hang_timeout_s=2.0)
    storm = Storm(tree, random.Random(seed))  # noqa: S311 - no secret

    for _ in range(ROUNDS):
        storm.blow()
    storm.calm()

    wanted = [("monitor", 1), ("dispatcher", 1), ("worker", 2)]
    tree.reshape(wanted)
    reloads = len(tree.events("supervisor.reloaded"))
    tree.send(signal.SIGHUP)
    tree.wait_event("supervisor.reloaded", reloads + 1)
    wait_until(
        lambda: (
            _up(tree) == dict(wanted)
            and {each.pid for each in tree.alive()} == set(tree.pids())
        ),
        30,
    )
    tree.terminate()
    tree.assert_clean_exit()
    assert tree.events("process.crashed") == []
    assert _unrecovered(tree) == set()


class Storm:
    """Does one thing after the other, with hardly a pause."""

    def __init__(self, tree: StubTree, dice: random.Random) -> None:
        self._tree = tree
        self._dice = dice
        self._acts: list[Callable[[], object]] = [
            self._kill,
            self._reload,
            lambda: tree.send(signal.SIGTTIN),
            lambda: tree.send(signal.SIGTTOU),
            lambda: tree.command("worker.spent"),
            lambda: tree.command("worker.lose-row"),
            lambda: self._switch("worker.silent"),
            lambda: self._switch("worker.slow"),
            lambda: self._switch("worker.crash"),
        ]

    def blow(self) -> None:
        """Do one of them, and let a few rounds of the tree pass, or none."""
        self._dice.choice(self._acts)()
        pause_s = self._dice.choice([0, 0.01, 0.05, 0.2])
        began = os.times().elapsed
        wait_until(lambda: os.times().elapsed - began >= pause_s)

    def calm(self) -> None:
        """Let everybody start and end again."""
        for path in self._tree.folder.glob("worker.*"):
            path.unlink(missing_ok=True)

    def _kill(self) -> None:
        """Kill anybody but the supervisor, or tell one to end; it may be gone already."""
        number = self._dice.choice([signal.SIGKILL, signal.SIGTERM])
        with suppress(ProcessLookupError):
            if pids := self._tree.pids():
                os.kill(self._dice.choice(pids), number)

    def _reload(self) -> None:
        count = self._dice.randint(1, 5)
        self._tree.reshape([("monitor", 1), ("dispatcher", 1), ("worker", count)])
        self._tree.send(signal.SIGHUP)

    def _switch(self, what: str) -> None:
        path = self._tree.folder / what
        if path.exists():
            path.unlink(missing_ok=True)
        else:
            path.touch()


def _up(tree: StubTree) -> dict[str, int]:
    """Return how many of each kind are up, unless anybody is leaving or on his way."""
    rows = tree.state()
    if any(row.get("state") != "up" for row in rows):
        return {}
    kinds = [row["kind"] for row in rows]
    return {kind: kinds.count(kind) for kind in kinds}


def _unrecovered(tree: StubTree) -> set[int]:
    """Return the process ids of all who have begun and whose end nobody wrote down."""
    # Nobody is left to recover the last monitor.
    known = {
        tree.events("last words")[-1]["by"],
        *(reported["pid"] for reported in tree.events("recovered")),
    }
    return {reported["by"] for reported in tree.events("process.started")} - known
