"""The audit: a row for each act of a person, by a command or on the dashboard.

The row is written before the act and completed after it, so an interrupted act can be
recognised. If an act is refused, its row is deleted.
"""

import contextlib
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

from jobsd import errors, machine
from jobsd.acts.listing import BEYOND
from jobsd.database.connection import OUTAGES, Session, Statements
from jobsd.events.events import emit

Row = dict[str, Any]

STATEMENTS = Statements("jobsd.operations", "audit.sql")

_NAMES = (
    *("id", "acted_at", "ended_at", "actor", "via", "act", "target", "jobs"),
    *("wanted", "skipped"),
)
_TARGET_MAX = 1_000
_MAYBE_DONE = "it may have been done, although no answer came; it is safe to repeat it"
_MAYBE_ENQUEUED = (
    "a job may have been enqueued, although no answer came; look for it before you repeat this"
)


@dataclass(slots=True)
class Act:
    """An act under way, and the number of jobs that it has changed."""

    session: Session
    id: int
    facts: dict[str, Any]
    jobs: int = 0

    def add(self, jobs: int, skipped: int = 0) -> None:
        """Record that more jobs were changed or skipped, so that others see the progress."""
        self.jobs += jobs
        self._go_on(jobs, skipped, ended=False)

    def end(self) -> None:
        """Record the end of the act."""
        self._go_on(0, 0, ended=True)
        emit("audit.recorded", **self.facts, jobs=self.jobs)

    def _go_on(self, jobs: int, skipped: int, *, ended: bool) -> None:
        parameters = {"id": self.id, "jobs": jobs, "skipped": skipped, "ended": ended}
        self.session.fetch(STATEMENTS["go_on"], parameters)


def begin(  # noqa: PLR0913 - the columns of a row
    session: Session,
    act: str,
    target: str,
    *,
    actor: str | None = None,
    via: str = "dashboard",
    wanted: int | None = None,
) -> Act:
    """Record the beginning of an act; the caller ends it."""
    facts = {
        "actor": actor or machine.user_at_host(),
        "via": via,
        "act": act,
        "target": _storable(target[:_TARGET_MAX]),
    }
    [(row_id,)] = session.fetch(STATEMENTS["begin"], {**facts, "wanted": wanted})
    return Act(session, row_id, facts)


@contextlib.contextmanager
def acting(
    session: Session, act: str, target: str, *, actor: str | None = None, via: str = "command"
) -> Generator[Act]:
    """Record an act while it is done; `actor` is USER@HOST by default."""
    under_way = begin(session, act, target, actor=actor, via=via)
    try:
        with noting_lost_answers(_MAYBE_ENQUEUED if act == "run" else _MAYBE_DONE):
            yield under_way
    except errors.Error:
        if not under_way.jobs:
            session.fetch(STATEMENTS["withdraw"], {"id": under_way.id})
        raise
    under_way.end()


@contextlib.contextmanager
def noting_lost_answers(what_to_do: str = _MAYBE_DONE) -> Generator[None]:
    """Add advice to an outage: perhaps the act was done, and only its answer was lost."""
    try:
        yield
    except OUTAGES as fault:
        fault.add_note(what_to_do)
        raise


def rows(session: Session, limit: int = 50, before: int = BEYOND) -> list[Row]:
    """Return the acts, the latest first."""
    found = session.fetch(STATEMENTS["rows"], {"limit": limit, "before": before})
    return [dict(zip(_NAMES, row, strict=True)) for row in found]


def find(session: Session, row_id: int) -> Row | None:
    """Return one row, or None."""
    found = session.fetch(STATEMENTS["find"], {"id": row_id})
    return dict(zip(_NAMES, found[0], strict=True)) if found else None


def _storable(text: str) -> str:
    """Return a text without the characters that a table can't hold; people type them."""
    return text.replace("\0", "").encode(errors="replace").decode()
