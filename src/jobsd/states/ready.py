"""Claims of ready jobs: which jobs a worker claims, and in which order.

Within a queue: smaller priority first, then the order of arrival. Over all queues (`*`): the
same. Of a list: all of the first queue's jobs before the second's; `prefix*` stands for the
queues with this prefix, in alphabetical order. Paused queues are left out and change nothing
for the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from jobsd.database.statements import Statement, Statements

from . import claims, parked

if TYPE_CHECKING:
    from jobsd.database.connection import Session

STATEMENTS = Statements("jobsd.states", "ready.sql")
_FEW = Statements("jobsd.states", "few.sql")
_CLAIM = STATEMENTS["hold"].followed_by(STATEMENTS["jobs"])
_TAKE = STATEMENTS["take"].with_(_CLAIM)
CLAIM_ANY = STATEMENTS["pick_any"].with_(_TAKE)
CLAIM_EACH = STATEMENTS["pick_each"].with_(_TAKE)
CLAIM_NAMED = STATEMENTS["pick_named"].with_(_TAKE)
CLAIM_FIRST_ANY = _FEW["take_first"].with_(_FEW["hold_few"])
CLAIM_FIRST_NAMED = _FEW["take_first_named"].with_(_FEW["hold_few"])
OF_FEW = (CLAIM_FIRST_ANY, CLAIM_FIRST_NAMED)
"""The claims of at most a few jobs, from the head, by a turn that records nothing."""
CLAIM_PARKED = STATEMENTS["pick_parked"].with_(_CLAIM)
SET_ASIDE = {
    claim.name: STATEMENTS[pick].with_(parked.STATEMENTS["set_aside"]).after("WITH")
    for claim, pick in (
        (CLAIM_ANY, "pick_any"),
        (CLAIM_EACH, "pick_each"),
        (CLAIM_NAMED, "pick_named"),
    )
}
"""What sets aside the jobs of unknown classes that a claim would bring, by its name."""

_NOTHING = claims.STATEMENTS["nothing"]


def turn(record: Statement | None, claim: Statement) -> Statement:
    """Return one statement that records (None: nothing), and then claims.

    Raises:
        ValueError: for a record and a claim of few jobs, which goes alone.
    """
    if claim in OF_FEW:
        if record is not None:
            raise ValueError(f"{claim.name} records nothing")
        return claim
    return (record or _NOTHING).with_(claim)


NAMES_MAX = 10_000
"""The maximum of queues that one statement names."""
PAUSED_MANY = 2000
"""From this number of jobs in paused queues on, claims avoid reading past them."""


class Survey(NamedTuple):
    """The queues that have ready jobs to claim."""

    names: list[str]

    @property
    def complete(self) -> bool:
        """Whether these are all; otherwise the others come when these are empty."""
        return len(self.names) < NAMES_MAX


def survey(session: Session, prefixes: Sequence[str] = ("",)) -> Survey:
    """Return the queues with one of these prefixes that have ready jobs and are not paused."""
    facts = {"prefixes": [*prefixes], "limit": NAMES_MAX}
    return Survey([name for (name,) in session.fetch(STATEMENTS["survey"], facts)])


def paused_many(session: Session) -> bool:
    """Return whether paused queues hold many ready jobs; without a pause no job is read."""
    return bool(session.fetch(STATEMENTS["paused_many"], {"many": PAUSED_MANY})[0][0])
