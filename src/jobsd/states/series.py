"""Series: the jobs of one limit's slot that one thread performs one after the other.

A claim that has a key and the number of a slot holds that slot, from the statement that inserts
it to the one that removes it: see `4_limits.sql` of the migration. Its jobs are the first of
the key, in order, as many as take 20 ms together, or one. They are recorded together, and while
no other series waits for a thread the claim gets the next ones.

A worker claims in two statements: `keys` meets jobs and says which keys have a free slot, and
`claim` takes slots of the keys that the worker then wants (`wanted`), with their first jobs.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, NamedTuple

from jobsd.database.statements import Plain, Statements
from jobsd.jobs.claimed_job import ClaimedJob, claimed_job

from .claims import array

STATEMENTS = Statements("jobsd.states", "series.sql")
_MEETING = Statements("jobsd.states", "meeting.sql")
KEYS_ANY, KEYS_NAMED = (
    _MEETING[meet].with_(_MEETING["count_keys"]).with_(STATEMENTS["keys"])
    for meet in ("meet_any", "meet_named")
)
BLOCK_ANY, BLOCK_NAMED = (
    _MEETING[meet]
    .with_(_MEETING["count_keys"])
    .with_(Statements("jobsd.states", "blocking.sql")["block"])
    for meet in ("meet_any", "meet_named")
)


class Stretch(NamedTuple):
    """A range of limited jobs that a claim has met: its queue, priority and positions.

    The queue is None if one search covers all.
    """

    queue: str | None
    priority: int
    first: int
    last: int


class Claimed(NamedTuple):
    """The jobs of a claim in the order in which they start, and the keys that were shut.

    A key is shut if it was full, or if its first job can't be started here; `unknown` are the
    queues and classes of these jobs. The `position` of a job is how many jobs of its key may
    run at once.
    """

    jobs: list[ClaimedJob]
    shut: frozenset[str]
    unknown: list[tuple[str, str]]


NONE_CLAIMED = Claimed([], frozenset(), [])


@dataclass(frozen=True, slots=True)
class Met:
    """The limited jobs that `keys` has met, and their keys.

    `walked` is the number of jobs, `full` of those whose key is full; `open` is the number of
    keys that have a free slot, beside those of this worker's claims. The first of these keys
    have a name and their number of free slots in `free`.
    """

    walked: int = 0
    full: int = 0
    stretches: tuple[Stretch, ...] = ()
    open: int = 0
    free: tuple[tuple[str, int], ...] = ()

    def left(self, claimed: Claimed) -> bool:
        """Return whether any of the jobs could have been claimed here, and was left."""
        done = claimed.shut | {job.concurrency_key for job in claimed.jobs}
        return self.open > sum(key in done for key, _ in self.free)


class Held(NamedTuple):
    """A claim of this worker that may get more jobs of its key: its size, and the room."""

    claim_id: int
    key: str
    size: int
    room: int


class Shape(NamedTuple):
    """How many keys a claim looks into, and how deep.

    A series has at most `long` jobs, and one key at most `threads` series. Of all keys `deep`
    may have several waiting jobs: their series are longer, and other workers take some, too.
    Keys with one waiting job are taken as well if `singles`.
    """

    long: int
    deep: int
    threads: int
    singles: bool


class Blocked(NamedTuple):
    """The number of jobs that `block` met, the last position among them, and its effects."""

    walked: int
    last: int | None
    parked: int
    dropped: list[int]


def met(row: Sequence[Any], names: Sequence[str | None]) -> Met:
    """Return what `keys` has met; each segment of the search has a name."""
    walked, full, stretches, count, keys, free = row
    return Met(
        walked,
        full,
        tuple(
            Stretch(names[turn - 1] if turn else None, *facts)
            for turn, *facts in sorted(json.loads(stretches or "[]"), key=itemgetter(0, 1))
        ),
        count,
        tuple(zip(keys, free, strict=True)),
    )


def wanted(met: Met, held: Sequence[Held], shape: Shape, limit: int) -> dict[str, Plain]:
    """Return the parameters of `claim` for a claim of up to `limit` jobs.

    The claims in `held` get jobs as far as the other keys leave some of the limit: otherwise
    the other keys would wait as long as these have jobs.
    """
    shared_by = max(1, min(met.open + len(held), shape.deep))
    length = max(1, min(shape.long, limit // shared_by))
    deep = [
        (key, min(free, shape.threads) * length, True) for key, free in met.free[: shape.deep]
    ]
    # Of two jobs it is seen whether there are several.
    singles = [(key, 2, False) for key, _ in met.free[shape.deep :] if shape.singles]
    new = deep + singles
    return {
        "keys": [key for key, *_ in new] + [each.key for each in held],
        "claims": [None] * len(new) + [each.claim_id for each in held],
        "sizes": [None] * len(new) + [each.size for each in held],
        "depths": array([*(depth for _, depth, _ in new), *(each.room for each in held)]),
        "deep": [is_deep for *_, is_deep in new] + [True] * len(held),
        "limit": limit,
        "threads": shape.threads,
    }


def claimed(rows: Iterable[tuple[Any, ...]]) -> Claimed:
    """Return what `claim` has claimed."""
    head, *jobs = rows
    facts = json.loads(head[ClaimedJob._fields.index("context")])
    return Claimed(
        [claimed_job(row) for row in jobs],
        frozenset(facts["shut"] or ()),
        [(queue, name) for queue, name in facts["unknown"] or ()],
    )
