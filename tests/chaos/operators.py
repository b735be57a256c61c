"""Somebody at a keyboard: retries what has failed, and discards, while all else goes on."""

from __future__ import annotations

import random
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import psycopg

from jobsd import Error
from jobsd.jobs import discards, failed

if TYPE_CHECKING:
    from collections.abc import Callable

    from chaos.grounds import Database

REST_S = 0.3


@dataclass(slots=True)
class Operator:
    """A thread that retries and drops jobs; `touched` are those whose story it has changed."""

    database: Database
    seed: int
    touched: set[int] = field(default_factory=set[int])
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
        if dice.random() < 0.5:
            rows = self._ids("failed")
            act: Callable[[int], object] = failed.retry
        else:
            rows = self._ids(dice.choice(["ready", "blocked", "scheduled", "failed"]))
            act = discards.discard
        if rows:
            job_id = dice.choice(rows)
            # Noted before: who looks at the tables must know it once it can be seen.
            self.touched.add(job_id)
            act(job_id)
            self.done += 1

    def _ids(self, table: str) -> list[int]:
        try:
            rows = self.database.ask(
                f"SELECT job_id FROM jobsd.{table}_executions ORDER BY 1 DESC LIMIT 20"
            )
        except psycopg.Error:
            return []
        return [row[0] for row in rows]
