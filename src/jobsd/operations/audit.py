"""What somebody did by hand: a row for each act, of commands and of the dashboard alike.

The row is written before the act and completed behind it, so that one which was cut off shows
as that; of an act that was refused it is taken away.
"""

from __future__ import annotations

import contextlib
import getpass
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jobsd import machine
from jobsd.database.statements import Statements
from jobsd.errors import Error
from jobsd.instruments.events import emit
from jobsd.jobs.listing import BEYOND

if TYPE_CHECKING:
    from collections.abc import Generator

    from jobsd.database.connection import Session

    Row = dict[str, Any]

STATEMENTS = Statements("jobsd.operations", "audit.sql")

_NAMES = ("id", "acted_at", "ended_at", "actor", "via", "act", "target", "jobs")
_TARGET_MAX = 1_000


@dataclass(slots=True)
class Act:
    """An act that is under way, and how many jobs it has changed."""

    session: Session
    id: int
    jobs: int = 0

    def add(self, jobs: int) -> None:
        """Note that more jobs were changed, for whoever looks on."""
        self.jobs += jobs
        _go_on(self.session, self.id, jobs, ended=False)


@contextlib.contextmanager
def acting(
    session: Session, act: str, target: str, *, actor: str | None = None, via: str = "command"
) -> Generator[Act]:
    """Write down an act while it is done; `actor` is USER@HOST by default."""
    facts = {
        "actor": actor or whoever(),
        "via": via,
        "act": act,
        "target": target[:_TARGET_MAX],
    }
    [(row_id,)] = session.fetch(STATEMENTS["begin"], facts)
    under_way = Act(session, row_id)
    try:
        yield under_way
    except Error:
        if not under_way.jobs:
            session.fetch(STATEMENTS["withdraw"], {"id": row_id})
        raise
    _go_on(session, row_id, 0, ended=True)
    emit("audit.recorded", **facts, jobs=under_way.jobs)


def rows(session: Session, limit: int = 50, before: int = BEYOND) -> list[Row]:
    """Return what was done, the latest first."""
    found = session.fetch(STATEMENTS["rows"], {"limit": limit, "before": before})
    return [dict(zip(_NAMES, row, strict=True)) for row in found]


def run_now(session: Session, job_id: int) -> bool:
    """Let a scheduled job be due now; return False when it is not scheduled."""
    return bool(session.fetch(STATEMENTS["run_now"], {"id": job_id}))


def whoever() -> str:
    """Return who runs this process: USER@HOST."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a user id without a name, as containers have
        user = "?"
    return f"{user}@{machine.hostname()}"


def _go_on(session: Session, row_id: int, jobs: int, *, ended: bool) -> None:
    session.fetch(STATEMENTS["go_on"], {"id": row_id, "jobs": jobs, "ended": ended})
