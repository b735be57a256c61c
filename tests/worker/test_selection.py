"""What a worker runs, and in which order, is what ten lines say: for any queues and pauses."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import Phase as Step
from hypothesis import strategies as st

from jobsd.acts import queues
from jobsd.enqueueing.client import enqueue_many
from jobsd.jobs.definition import job

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jobsd.database.connection import Session

    from .conftest import Driven, MakeWorker

# Names that begin alike, with what LIKE would take for a wildcard, and of other scripts.
_NAMES = ("a", "ab", "a_c", "abc", "axc", "a%", "B", "ц_1", "цx1", "z z", "\U0001f600")

_ran: list[int] = []


@job
def mark(turn: int) -> None:
    _ran.append(turn)


class Waiting(NamedTuple):
    turn: int
    queue: str
    priority: int


class Phase(NamedTuple):
    """What is paused while it lasts, and which jobs come: (queue, priority)."""

    paused: frozenset[str]
    jobs: list[tuple[str, int]]


@st.composite
def _scenes(draw: st.DrawFn) -> tuple[tuple[str, ...], list[Phase]]:
    """Return the patterns of a worker, and phases in which only few queues come."""
    names = draw(st.lists(st.sampled_from(_NAMES), min_size=3, max_size=5, unique=True))
    prefixes = [f"{name[:length]}*" for name in names for length in (1, 2)]
    pattern = st.sampled_from([*names, *prefixes, *prefixes, "*", "*", "nothing", "nothing*"])
    patterns = draw(st.lists(pattern, min_size=1, max_size=3, unique=True))
    priorities = st.sampled_from([0, 1, -1, 2**31 - 1, -(2**31)])
    phase = st.builds(
        Phase,
        st.frozensets(st.sampled_from(names), max_size=2),
        st.lists(st.tuples(st.sampled_from(names), priorities), min_size=6, max_size=14),
    )
    return tuple(patterns), draw(st.lists(phase, min_size=1, max_size=3))


def _model(
    patterns: tuple[str, ...], paused: frozenset[str], waiting: Iterable[Waiting]
) -> list[Waiting]:
    def place(each: Waiting) -> tuple[int, str, int, int]:
        if "*" in patterns:
            return 0, "", each.priority, each.turn
        at = next(at for at, pattern in enumerate(patterns) if _means(pattern, each.queue))
        return at, each.queue, each.priority, each.turn

    meant = (each for each in waiting if any(_means(p, each.queue) for p in patterns))
    return sorted((each for each in meant if each.queue not in paused), key=place)


def _means(pattern: str, queue: str) -> bool:
    return queue.startswith(pattern[:-1]) if pattern.endswith("*") else queue == pattern


@pytest.mark.behaviour(38, 39, 40, 41, 43, 45)
@settings(
    max_examples=25,
    phases=[Step.explicit, Step.generate],  # to make it smaller would take minutes
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(scene=_scenes())
def test_claims_are_those_of_the_model(
    make_worker: MakeWorker, session: Session, scene: tuple[tuple[str, ...], list[Phase]]
) -> None:
    patterns, phases = scene
    _forget(session)
    waiting: list[Waiting] = []
    turn = 0
    for phase in phases:
        _pause_only(phase.paused)
        coming = [Waiting(turn + n, *each) for n, each in enumerate(phase.jobs)]
        turn += len(coming)
        waiting += coming
        expected = [each.turn for each in _model(patterns, phase.paused, waiting)]
        _ran.clear()

        enqueue_many(
            mark.using(queue=each.queue, priority=each.priority).with_args(each.turn)
            for each in coming
        )
        # Each phase a new worker: one that remembers its places may take what is resumed later.
        driven = make_worker(threads=1, queues=patterns)
        _run(driven, session, ready=len(waiting) - len(expected), ran=len(expected))

        assert _ran == expected
        waiting = [each for each in waiting if each.turn not in expected]
        driven.drain()


def _run(driven: Driven, session: Session, *, ready: int, ran: int) -> None:
    """Take rounds until all that is expected has run, or something else has."""

    def done() -> bool:
        row = session.connection.execute(
            "SELECT (SELECT count(*) FROM jobsd.ready_executions),"
            " (SELECT count(*) FROM jobsd.claims)"
        ).fetchone()
        return row == (ready, 0) and len(_ran) >= ran

    with contextlib.suppress(AssertionError):
        driven.until(done, within_s=60)


def _pause_only(names: frozenset[str]) -> None:
    for pause in queues.paused():
        if pause.queue_name not in names:
            queues.resume(pause.queue_name)
    for name in sorted(names):
        queues.pause(name)


def _forget(session: Session) -> None:
    for table in ("jobs", "ready_executions", "claims", "pauses", "processes", "sleepers"):
        session.connection.execute(f"DELETE FROM jobsd.{table}".encode())
    _ran.clear()


@pytest.mark.behaviour(44)
def test_a_pause_and_a_resume_take_effect_at_the_next_claim(
    make_worker: MakeWorker, session: Session
) -> None:
    _forget(session)
    driven = make_worker(threads=1, queues=("a*", "b"))
    _pause_only(frozenset({"a_c"}))
    enqueue_many(mark.using(queue=queue).with_args(1) for queue in ("a_c", "a", "b"))
    driven.until(lambda: len(_ran) == 2)

    _pause_only(frozenset({"a", "b"}))
    enqueue_many(mark.using(queue=queue).with_args(2) for queue in ("a_c", "a", "b"))
    driven.until(lambda: len(_ran) == 4)

    assert _ran == [1, 1, *sorted(_ran[2:])] == [1, 1, 1, 2]
    _pause_only(frozenset())
    driven.until(lambda: len(_ran) == 6)
    assert _ran[4:] == [2, 2]
