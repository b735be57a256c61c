"""Series: the jobs of one limit's slot that one thread performs one after the other.

A claim that has a key and the number of a slot holds that slot, from the statement that inserts
it to the one that removes it: see `4_limits.sql` of the migration. Its jobs are the first of
the key, in order, as many as take 20 ms together, or one. They are recorded together, and while
no other series waits for a thread the claim gets the next ones (`extended` in `series.sql`).
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any, NamedTuple

from jobsd.database.statements import Statements
from jobsd.jobs.claimed_job import ClaimedJob, claimed_job

STATEMENTS = Statements("jobsd.states", "series.sql")
_MEETING = Statements("jobsd.states", "meeting.sql")
_KEYS = _MEETING["ours"].with_(_MEETING["count_keys"])
CLAIM_ANY, CLAIM_NAMED = (
    _MEETING[meet].with_(_KEYS).with_(STATEMENTS["claim"])
    for meet in ("meet_any", "meet_named")
)
BLOCK_ANY, BLOCK_NAMED = (
    _MEETING[meet]
    .with_(_MEETING["count_keys"])
    .with_(Statements("jobsd.states", "blocking.sql")["block"])
    for meet in ("meet_any", "meet_named")
)
_ID = ClaimedJob._fields.index("id")


class Stretch(NamedTuple):
    """A range of limited jobs that a claim has met: its queue, priority and positions.

    The queue is None if one search covers all.
    """

    queue: str | None
    priority: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Met:
    """The limited jobs that a claim of series has read but not claimed.

    `left`: some could have been started, and were left. `full` is the number of jobs whose key
    is full. `unknown` are the queues and classes of jobs that come first of their key and can't
    be started here.
    """

    walked: int = 0
    left: bool = False
    full: int = 0
    unknown: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    stretches: list[Stretch] = field(default_factory=list[Stretch])


class Blocked(NamedTuple):
    """The number of jobs that `block` met, the last position among them, and its effects."""

    walked: int
    last: int | None
    parked: int
    dropped: list[int]


def met(row: Sequence[Any], names: Sequence[str | None]) -> Met:
    """Return the facts in the first row of a claim, in order; each segment has a name."""
    facts = json.loads(row[2])
    stretches = sorted(json.loads(row[3] or "[]"), key=itemgetter(0, 1))
    return Met(
        facts["walked"],
        facts["left"],
        facts["full"],
        [(queue, name) for queue, name in facts["unknown"] or ()],
        [Stretch(names[turn - 1] if turn else None, *facts) for turn, *facts in stretches],
    )


def claimed(head: Sequence[Any], rows: Sequence[tuple[Any, ...]]) -> list[ClaimedJob]:
    """Return the jobs of a claim in the order of its first row, with their claims.

    The `position` of each is how many jobs of its key may run at once.
    """
    by_id = {row[_ID]: row for row in rows}
    return [
        claimed_job((claim_id, *row[_ID:]))
        for claim in (head[4].split(",") if head[4] else ())
        for claim_id, *job_ids in [map(int, claim.split())]
        for job_id in job_ids
        if (row := by_id.get(job_id))
    ]
