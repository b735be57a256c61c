"""Threads that wait for what jobs return, and one that asks for the same again and again.

Of each key only one thread enqueues, so it knows in which order it has asked.
"""

from __future__ import annotations

import itertools
import random
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from chaos import asked_jobs
from jobsd import (
    EnqueueError,
    Error,
    JobDiscardedError,
    JobFailedError,
    NotFoundError,
)
from jobsd.clock import monotonic
from jobsd.enqueueing.client import enqueue

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobsd.jobs.draft import Draft, EnqueuedJob

WAYS = ["pass"] * 8 + ["fail", "retry", "again", "discard", "nap"]
WAIT_S = 120.0
"""Longer than a run takes to drain: who has no answer by then is not answered."""
REST_S = 0.1
FIRST = 10**8
"""The first number of these jobs: those of the enqueuers are smaller."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What somebody has heard of a job that he has waited for."""

    n: int
    job_id: int
    word: str
    """finished, failed or discarded; gone where there was no job any more, or unanswered."""
    result: object = None


@dataclass(frozen=True, slots=True)
class Ask:
    """One enqueue of many for the same key; `job_id` is None where it was refused."""

    kind: str
    key: str
    n: int
    state: str
    """new, duplicate, absent or unknown."""
    job_id: int | None
    began: float
    ended: float


@dataclass(slots=True)
class Askers:
    """The threads, and what they have heard."""

    seed: int
    answers: list[Answer] = field(default_factory=list[Answer])
    asks: list[Ask] = field(default_factory=list[Ask])
    surprises: list[str] = field(default_factory=list[str])
    _over: threading.Event = field(default_factory=threading.Event)
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(FIRST))
    _threads: list[threading.Thread] = field(default_factory=list[threading.Thread])

    def start(self) -> None:
        """Begin to ask."""
        for number, act in enumerate([self._wait, self._wait, self._repeat]):
            dice = random.Random(f"{self.seed} asker {number}")  # noqa: S311 - no secret
            thread = threading.Thread(target=self._run, args=(act, dice), daemon=True)
            self._threads.append(thread)
            thread.start()

    def stop(self) -> None:
        """Ask no more; who waits for an answer waits on."""
        self._over.set()

    def join(self) -> None:
        """Wait for the last answers."""
        for thread in self._threads:
            thread.join(WAIT_S + 30)

    def _run(self, act: Callable[[random.Random], None], dice: random.Random) -> None:
        while not self._over.wait(dice.random() * 2 * REST_S):
            try:
                act(dice)
            except Exception as error:  # noqa: BLE001 - reported as what it is: unexpected
                self.surprises.append(f"{type(error).__name__}: {error}")

    def _wait(self, dice: random.Random) -> None:
        n, seconds = next(self._numbers), dice.choice([0.0, 0.02, 0.1])
        drafted = asked_jobs.replying.with_args(n, seconds, dice.choice(WAYS))
        _, handle = _enqueued(drafted)
        if handle is not None and handle.id is not None:
            word, result = _answer(handle)
            self.answers.append(Answer(n, handle.id, word, result))

    def _repeat(self, dice: random.Random) -> None:
        n, key = next(self._numbers), f"k{dice.randrange(2)}"
        if dice.random() < 0.5:
            drafted = asked_jobs.rare.with_args(n, 0.0, "pass", key)
        else:
            drafted = asked_jobs.latest.with_args(n, 0.0, "pass", key)
            drafted.wait_s = 0.3
        began = monotonic()
        state, handle = _enqueued(drafted)
        job_id = None if handle is None else handle.id
        ask = Ask(drafted.class_name, key, n, state, job_id, began, monotonic())
        self.asks.append(ask)


def _enqueued(drafted: Draft) -> tuple[str, EnqueuedJob | None]:
    try:
        handle = enqueue(drafted)
    except EnqueueError as error:
        unknown = str(error).startswith("it is not known")
        return ("unknown" if unknown else "absent"), None
    except Error:
        return "absent", None
    return ("duplicate" if handle.state == "duplicate" else "new"), handle


def _answer(handle: EnqueuedJob) -> tuple[str, object]:
    try:
        return "finished", handle.result(timeout=WAIT_S)
    except JobFailedError as error:
        return "failed", error.type
    except JobDiscardedError:
        return "discarded", None
    except NotFoundError:
        return "gone", None
    except TimeoutError:
        return "unanswered", None
