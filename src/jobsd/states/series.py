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
_CLAIM = STATEMENTS["claim"].with_(Statements("jobsd.states", "series_met.sql")["report"])
CLAIM_ANY, CLAIM_NAMED = (
    _MEETING[meet].with_(_MEETING["ours"]).with_(_CLAIM) for meet in ("meet_any", "meet_named")
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

    `left`: some could have been started, and were left. `unknown` are the queues and classes of
    jobs that come first of their key and can't be started here.
    """

    walked: int = 0
    left: bool = False
    parked: int = 0
    dropped: list[int] = field(default_factory=list[int])
    unknown: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    stretches: list[Stretch] = field(default_factory=list[Stretch])


def met(row: Sequence[Any], names: Sequence[str | None]) -> Met:
    """Return the facts in the first row of a claim, in order; each segment has a name."""
    facts = json.loads(row[2])
    stretches = sorted(json.loads(row[3] or "[]"), key=itemgetter(0, 1))
    return Met(
        facts["walked"],
        facts["left"],
        facts["parked"],
        facts["dropped"] or [],
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
