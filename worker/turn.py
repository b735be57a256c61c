"""One turn of a worker: one round trip and one commit.

What has ended is recorded, and the next batch is claimed, by one fused statement; before
it in the same pipeline, only when there are any, one statement for all that did not just
succeed, and behind it one that hands over slots of limits that were given back. Limited jobs
are claimed by a statement of their own, behind the turn's commit (see `limited`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from operator import attrgetter, itemgetter
from typing import TYPE_CHECKING, Any

from jobsd.clock import monotonic
from jobsd.jobs import claims, ready, registry
from jobsd.jobs.limits import unblocked
from jobsd.performing.perform import ClaimedJob

from .pace import BYTES_MAX, FEW

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from jobsd.database.connection import Session
    from jobsd.database.statements import Statement
    from jobsd.jobs.claims import Ended

    from .writing import Writing

_RECORD = claims.STATEMENTS["record"]
_NOTHING = claims.STATEMENTS["nothing"]
_NO_CLAIM = claims.STATEMENTS["no_claim"]

_ENDS = (
    *(_NO_CLAIM, ready.CLAIM_ANY, ready.CLAIM_EACH, ready.CLAIM_NAMED),
    ready.CLAIM_LANES,
)
_TURNS = {
    (begin.name, end.name): begin.with_(end) for begin in (_RECORD, _NOTHING) for end in _ENDS
}


_class_name = itemgetter(ClaimedJob._fields.index("class_name"))
claimed_job: Callable[[tuple[Any, ...]], ClaimedJob] = partial(
    tuple.__new__,  # pyright: ignore[reportUnknownMemberType] - of any type
    ClaimedJob,
)


@dataclass(frozen=True, slots=True)
class Result:
    """What a turn has brought: a claim with its jobs, in order.

    `strange` are those whose class is not known here. `withheld` are those from the first one
    on whose arguments were too large to come along; `weight` is what the others' come to.
    `recorded` and `concluded` are the claims that let
    their successes, and their other outcomes, be written. `whole` is false when the claim has
    ids of jobs that are no more: somebody has deleted them, but not what said that they were
    ready.
    """

    claim_id: int | None = None
    whole: bool = True
    jobs: list[ClaimedJob] = field(default_factory=list[ClaimedJob])
    withheld: list[ClaimedJob] = field(default_factory=list[ClaimedJob])
    strange: list[ClaimedJob] = field(default_factory=list[ClaimedJob])
    weight: int = 0
    recorded: set[int] = field(default_factory=set[int])
    concluded: set[int] = field(default_factory=set[int])
    took_s: float = 0.0

    def places(self, *, named: bool) -> list[tuple[str | None, int, int]]:
        """Return queue (if they were picked by names), priority and position of the jobs.

        Of each queue and priority the last one is the farthest.
        """
        jobs = self.jobs
        if self.strange:
            jobs = sorted([*jobs, *self.strange], key=attrgetter("position"))
        return [(job.queue_name if named else None, job.priority, job.position) for job in jobs]

    @property
    def size(self) -> int:
        """How many jobs were claimed."""
        return len(self.jobs) + len(self.withheld) + len(self.strange)


@dataclass(frozen=True, slots=True)
class Wish:
    """What to claim: how many jobs, when, for which process, by which statement, from where."""

    limit: int
    asked_at: float
    process_id: int
    statement: Statement
    parameters: dict[str, Any]


def take(
    session: Session,
    writing: Writing,
    *,
    release: Iterable[Ended],
    wish: Wish | None,
) -> Result:
    """Do one turn: record what is in `writing`, and claim what is wished for.

    Invariant: slots are handed over behind what gives them back, by a statement of its own,
    whose snapshot sees it, and what was blocked before.
    """
    statements: list[tuple[Statement, dict[str, Any]]] = []
    fused = writing.record is not None or wish is not None
    if (rare := writing.conclude(release)) is not None:
        statements.append(rare)
    if fused:
        statements.append(_fused(writing.record, wish))
    if (handed := writing.hand_over()) is not None:
        statements.append(handed)
    began = monotonic()
    results = _run(session, statements, plain=fused)
    took_s = monotonic() - began
    if handed is not None:
        unblocked(results.pop())
    (claim_id, size, recorded, *_), *rows = results.pop() if fused else [(None, 0, None)]
    concluded = set(results.pop()[0][0]) if rare is not None else set[int]()
    return Result(
        claim_id,
        len(rows) == size,
        *_brought(rows),
        set(map(int, recorded.split(","))) if recorded else set(),
        concluded,
        took_s,
    )


def _brought(
    rows: list[tuple[Any, ...]],
) -> tuple[list[ClaimedJob], list[ClaimedJob], list[ClaimedJob], int]:
    """Return the jobs that came along, the withheld ones, the strange ones, and the weight."""
    jobs, strange = _known([claimed_job(row) for row in rows])
    came, weight = came_along(jobs)
    return jobs[:came], jobs[came:], strange, weight


def _known(jobs: list[ClaimedJob]) -> tuple[list[ClaimedJob], list[ClaimedJob]]:
    """Return the jobs whose class is known here, and the others."""
    known = registry.known()
    # All at once: it costs a claim a thousandth.
    if known >= set(map(_class_name, jobs)):
        return jobs, []
    strange = [job for job in jobs if job.class_name not in known]
    return [job for job in jobs if job.class_name in known], strange


def came_along(jobs: list[ClaimedJob]) -> tuple[int, int]:
    """Return how many jobs have their arguments, up to one that has not, and all their size."""
    sizes = [len(job.arguments) for job in jobs]
    return sizes.index(0) if 0 in sizes else len(jobs), sum(sizes)


def _fused(
    record: dict[str, Any] | None, wish: Wish | None
) -> tuple[Statement, dict[str, Any]]:
    begin = _NOTHING if record is None else _RECORD
    parameters = dict(record or {})
    if wish is None:
        return _TURNS[begin.name, _NO_CLAIM.name], parameters
    parameters |= {
        **wish.parameters,
        "limit": wish.limit,
        "share": BYTES_MAX // wish.limit if wish.limit > FEW else 2**31 - 1,
        "budget": BYTES_MAX,
        "process_id": wish.process_id,
        "asked_at": wish.asked_at,
    }
    return _TURNS[begin.name, wish.statement.name], parameters


def _run(
    session: Session, statements: list[tuple[Statement, dict[str, Any]]], *, plain: bool
) -> list[list[tuple[Any, ...]]]:
    # A pipeline costs more than a statement alone, and the fused one alone is the common case.
    if len(statements) > 1:
        return session.fetch_together(statements)
    fetch = session.fetch_prepared if plain else session.fetch
    return [fetch(*each) for each in statements]
