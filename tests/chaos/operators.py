"""Somebody at a keyboard: retries what has failed, discards and cancels, while all goes on."""

from __future__ import annotations

import random
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import psycopg

from jobsd import Error
from jobsd.acts import cancels, discards, retries

if TYPE_CHECKING:
    from collections.abc import Callable

    from chaos.grounds import Database

REST_S = 0.3


@dataclass(slots=True)
class Operator:
    """A thread that retries, drops and cancels jobs.

    `touched` are those whose story it has changed, `cancelled` says of those that it has
    cancelled in which state each was; it is unknown when the call brought no answer.
    """

    database: Database
    seed: int
    touched: set[int] = field(default_factory=set[int])
    cancelled: dict[int, str] = field(default_factory=dict[int, str])
    done: int = 0
    _over: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin."""
        self._thread = threading.Thread(target=self._run, name="operator", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Go home."""
        self._over.set()
        if self._thread is not None:
            self._thread.join(60)

    def _run(self) -> None:
        dice = random.Random(f"{self.seed} operator")  # noqa: S311 - no secret
        while not self._over.wait(dice.random() * 2 * REST_S):
            try:
                self._act(dice)
            except (Error, psycopg.Error):
                # Refused, or the database is away: no matter.
                continue

    def _act(self, dice: random.Random) -> None:
        way = dice.random()
        if way < 0.5:
            self._cancel(dice)
            return
        if way < 0.75:
            rows = self._ids("failed")
            act: Callable[[int], object] = retries.retry
        else:
            rows = self._ids(dice.choice(["ready", "blocked", "scheduled", "failed"]))
            act = discards.discard
        if rows:
            job_id = dice.choice(rows)
            # Noted before: who looks at the tables must know it once it can be seen.
            self.touched.add(job_id)
            act(job_id)
            self.done += 1

    def _cancel(self, dice: random.Random) -> None:
        place = dice.choice(["claimed", "claimed", "ready", "blocked", "scheduled"])
        # Of what is claimed the first ones run.
        order = "ASC LIMIT 3" if place == "claimed" else "DESC LIMIT 20"
        if not (rows := self._ids(place, order)):
            return
        job_id, force = dice.choice(rows), dice.random() < 0.3
        # It may be cancelled twice: what was known of the first time is known still.
        self.cancelled.setdefault(job_id, "unknown")
        if dice.random() < 0.5:
            was = cancels.cancel(job_id, force)
        else:
            was = self.database.ask("SELECT jobsd.cancel(%s, %s)", (job_id, force))[0][0]
        self.cancelled[job_id] = was
        self.done += 1

    def _ids(self, table: str, order: str = "DESC LIMIT 20") -> list[int]:
        try:
            rows = self.database.ask(
                f"SELECT job_id FROM jobsd.{table}_executions ORDER BY 1 {order}"
            )
        except psycopg.Error:
            return []
        return [row[0] for row in rows]
