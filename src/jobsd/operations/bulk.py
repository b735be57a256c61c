"""Acts on many jobs: they are counted first, and then exactly the counted ones are changed.

The count includes jobs up to some id; later jobs are left alone, even if they pass the filter.
A job that has changed its state before the act reaches it is counted as skipped.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from jobsd import errors
from jobsd.acts import discards, listing, moves, retries
from jobsd.acts.listing import Filter
from jobsd.database.connection import Session

from .audit import Act

COUNTED_MAX = 10_000
"""Counts up to this number are exact."""
STEP = 500


@dataclass(frozen=True, slots=True)
class How:
    """The parameters of an act: whether discarded jobs stay, and where jobs are moved."""

    keep: bool = True
    queue: str | None = None
    priority: int | None = None


Do = Callable[["Session", Sequence[int], How], Iterator[int]]


@dataclass(frozen=True, slots=True)
class BulkAct:
    """An act on many jobs: the states in which it is possible, and the role that it needs."""

    name: str
    states: tuple[str, ...]
    role: str
    do: Do


@dataclass(frozen=True, slots=True)
class Counted:
    """The number of selected jobs, at most COUNTED_MAX + 1, and their highest id."""

    jobs: int
    upto: int

    @property
    def exact(self) -> bool:
        """Whether the number is exact."""
        return self.jobs <= COUNTED_MAX


def _retry(session: Session, ids: Sequence[int], _how: How) -> Iterator[int]:
    return map(len, retries.batches(session, ids))


def _discard(session: Session, ids: Sequence[int], how: How) -> Iterator[int]:
    return (len(done.jobs) for done in discards.batches(session, ids, keep=how.keep))


def _run(session: Session, ids: Sequence[int], _how: How) -> Iterator[int]:
    return map(len, moves.run_batches(session, ids))


def _move(session: Session, ids: Sequence[int], how: How) -> Iterator[int]:
    return map(len, moves.batches(session, ids, how.queue, how.priority))


ACTS = {
    act.name: act
    for act in (
        BulkAct("retry", ("failed",), "operator", _retry),
        BulkAct("discard", discards.STATES[:-1], "operator", _discard),
        BulkAct("run", ("scheduled",), "operator", _run),
        BulkAct("move", moves.STATES, "admin", _move),
    )
}


def count(session: Session, act: BulkAct, meant: Filter) -> Counted:
    """Count the jobs that an act would change.

    Raises:
        RefusedError: if the act is impossible in the selected state.
    """
    jobs, upto = 0, 0
    for part in _parts(act, meant):
        for page in listing.id_pages(session, part):
            jobs += len(page)
            upto = max(upto, *page) if page else upto
            if jobs > COUNTED_MAX:
                # In each state the highest ids come first.
                break
    return Counted(min(jobs, COUNTED_MAX + 1), upto)


def perform(  # noqa: PLR0913, PLR0917 - actor, act, jobs and parameters
    session: Session, act: BulkAct, meant: Filter, upto: int, how: How, written: Act
) -> None:
    """Change the jobs up to an id, some hundreds at a time, and record the progress."""
    for part in _parts(act, meant):
        for page in listing.id_pages(session, part, before=upto + 1):
            # The oldest first, in the order in which they run.
            ids = page[::-1]
            for start in range(0, len(ids), STEP):
                chosen = ids[start : start + STEP]
                done = sum(act.do(session, chosen, how))
                written.add(done, skipped=len(chosen) - done)


def _parts(act: BulkAct, meant: Filter) -> list[Filter]:
    if meant.state is None:
        return [meant.of(state) for state in act.states]
    if meant.state not in act.states:
        may_be = " or ".join(act.states)
        raise errors.RefusedError(
            f"{act.name}: jobs must be {may_be}, but the search is for {meant.state}"
        )
    return [meant]
