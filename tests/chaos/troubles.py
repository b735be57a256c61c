"""The troubles of a chaos run: which there are, how often each, and how they are made.

What is drawn depends on the seed alone: the kind of trouble, a number that chooses among
those whom it may befall, and how long it lasts. What must be undone (thawed, started
again, resumed) is planned as a repair; troubles overlap meanwhile.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import psutil
import psycopg

from jobsd.clock import monotonic

if TYPE_CHECKING:
    from collections.abc import Callable

    from chaos.grounds import Database, Place
    from chaos.watch import Watch

WEIGHTS = {
    "kill worker": 10,
    "kill dispatcher": 2,
    "kill scheduler": 2,
    "kill monitor": 4,
    "kill hooks": 1,
    "kill supervisor": 2,
    "kill tree": 1,
    "TERM worker": 3,
    "QUIT worker": 2,
    "TERM dispatcher": 1,
    "TERM monitor": 2,
    "TERM supervisor": 2,
    "QUIT supervisor": 1,
    "HUP supervisor": 2,
    "TTIN supervisor": 2,
    "TTOU supervisor": 2,
    "freeze worker": 4,
    "freeze dispatcher": 1,
    "freeze scheduler": 1,
    "freeze monitor": 3,
    "freeze hooks": 1,
    "freeze supervisor": 2,
    "freeze tree": 4,
    "cut one": 8,
    "cut all": 2,
    "pause queue": 2,
    # Of a server of our own only.
    "freeze backend": 5,
    "crash backend": 1,
    "freeze server": 2,
    "restart server": 1,
    "TERM away": 1,
}
SERVER = {"freeze backend", "crash backend", "freeze server", "restart server", "TERM away"}
KEPT_S = 0.8
"""A job that ends within this time of a stop while the database is away is in a journal.

A tree of a chaos run has about twice this time."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """One trouble as it was drawn; `choice` and `share` are from 0 to 1."""

    name: str
    choice: float
    share: float
    rest_s: float


def draw(
    seed: int, *, own_server: bool, pace_s: float, only: str = ""
) -> Callable[[], Trouble]:
    """Return what draws the troubles of a seed, one after the other."""
    dice = random.Random(seed)  # noqa: S311 - no secret
    weights = {
        name: weight
        for name, weight in WEIGHTS.items()
        if (own_server or name not in SERVER)
        and (not only or any(word in name for word in only.split(",")))
    }

    def one() -> Trouble:
        (name,) = dice.choices(list(weights), list(weights.values()))
        return Trouble(name, dice.random(), dice.random(), pace_s * (0.4 + 1.2 * dice.random()))

    return one


@dataclass(slots=True)
class Hand:
    """Makes the troubles and their repairs. Used by one thread."""

    places: list[Place]
    database: Database
    watch: Watch
    dead_s: float
    done: Counter[str] = field(default_factory=Counter[str])
    repairs: list[tuple[float, Callable[[], object]]] = field(
        default_factory=list[tuple[float, "Callable[[], object]"]]
    )

    def make(self, trouble: Trouble) -> bool:
        """Make one trouble; return False when there was nobody whom it could befall."""
        word, _, whom = trouble.name.partition(" ")
        place = self.places[int(trouble.choice * 997) % len(self.places)]
        if whom in {"one", "all", "backend", "server", "queue"}:
            try:
                made = self._trouble_database(word, whom, trouble)
            except (psycopg.Error, FileNotFoundError, psutil.NoSuchProcess):
                # It is away.
                return False
        elif whom == "away":
            made = self._stop_while_away(place, trouble)
        elif whom == "tree":
            made = self._trouble_tree(word, place, trouble)
        elif word == "freeze":
            made = self._freeze_one(whom, place, trouble)
        else:
            made = self._signal(word, whom, place, trouble)
        self.done[trouble.name] += made
        return made

    def repair(self, *, everything: bool = False) -> None:
        """Do the repairs that are due, and start the trees that have ended."""
        now = monotonic()
        due = [each for each in self.repairs if everything or each[0] <= now]
        self.repairs = [each for each in self.repairs if each not in due]
        for _, mend in sorted(due, key=lambda each: each[0]):
            mend()
        for place in self.places:
            if not place.lives:
                place.start()

    # The processes of the trees.

    def _signal(self, word: str, whom: str, place: Place, trouble: Trouble) -> bool:
        number = signal.SIGKILL if word == "kill" else signal.Signals[f"SIG{word}"]
        pids = place.pids(whom)
        # Before a tree can hear, these have their default action: to end, or to stop.
        if not pids or (word in {"HUP", "TTIN", "TTOU"} and not place.tree.lines):
            return False
        pid = pids[int(trouble.share * len(pids))]
        if whom == "supervisor":
            self.watch.note(place.label, 0, word)
        elif word in {"TERM", "QUIT"}:
            self.watch.note(place.label, pid, word)
        return _send(pid, number)

    def _freeze_one(self, whom: str, place: Place, trouble: Trouble) -> bool:
        pids = place.pids(whom)
        if not pids:
            return False
        lasts_s = 0.2 + trouble.share * 4
        self._freeze([pids[int(trouble.choice * len(pids))]], place.label, lasts_s)
        return True

    def _trouble_tree(self, word: str, place: Place, trouble: Trouble) -> bool:
        pids = place.everybody()
        if not pids:
            return False
        if word == "freeze":
            self._freeze(pids, place.label, 0.5 + trouble.share * (self.dead_s + 3))
            return True
        self.watch.note(place.label, 0, "kill")
        return sum(_send(pid, signal.SIGKILL) for pid in pids) > 0

    def _stop_while_away(self, place: Place, trouble: Trouble) -> bool:
        own = self.database.own
        assert own is not None
        self.repair(everything=True)
        if not place.tree.lines:
            return False
        own.stop()
        self.repairs.append((monotonic() + 0.5 + trouble.share * 3, own.start))
        self.watch.note(place.label, 0, "TERM")
        self.watch.note(place.label, 0, "away", monotonic() + KEPT_S)
        return _send(place.tree.process.pid, signal.SIGTERM)

    def _freeze(self, pids: list[int], tree: str, lasts_s: float) -> None:
        until = monotonic() + lasts_s
        for pid in pids:
            self.watch.note(tree, pid, "freeze", until)
            _send(pid, signal.SIGSTOP)

        def thaw() -> None:
            for pid in pids:
                _send(pid, signal.SIGCONT)

        self.repairs.append((until, thaw))

    # The database.

    def _trouble_database(self, word: str, whom: str, trouble: Trouble) -> bool:
        if whom == "queue":
            return self._pause(trouble)
        if whom == "server":
            return self._trouble_server(word, trouble)
        backends = self.database.backends()
        if not backends:
            return False
        pid = backends[int(trouble.choice * len(backends))]
        if word == "cut":
            cut = backends if whom == "all" else [pid]
            self.database.ask("SELECT pg_terminate_backend(pid) FROM unnest(%s) pid", (cut,))
        elif word == "crash":
            _send(pid, signal.SIGKILL)
        else:
            _send(pid, signal.SIGSTOP)
            until = monotonic() + 0.3 + trouble.share**4 * 12
            self.repairs.append((until, lambda: _send(pid, signal.SIGCONT)))
        return True

    def _trouble_server(self, word: str, trouble: Trouble) -> bool:
        own = self.database.own
        assert own is not None
        if word == "freeze":
            own.freeze()
            self.repairs.append((monotonic() + 0.3 + trouble.share * 3, own.thaw))
            return True
        # A server whose processes stand still can't end.
        self.repair(everything=True)
        own.stop()
        self.repairs.append((monotonic() + trouble.share * 2, own.start))
        return True

    def _pause(self, trouble: Trouble) -> bool:
        self.database.ask(
            "INSERT INTO jobsd.pauses (queue_name) VALUES ('odd_one') ON CONFLICT DO NOTHING"
        )
        self.repairs.append((monotonic() + 0.2 + trouble.share * 3, self._resume))
        return True

    def _resume(self) -> None:
        try:
            self.database.ask("DELETE FROM jobsd.pauses")
        except psycopg.Error:
            self.repairs.append((monotonic() + 0.5, self._resume))


def _send(pid: int, number: signal.Signals) -> bool:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
        return True
    return False
