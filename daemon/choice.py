"""Which jobs an operator means to change: those of some ids, or all that pass the filters."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jobsd.clock import monotonic
from jobsd.errors import NotFoundError
from jobsd.jobs import inspect

from .exits import DONE, NOT_FOUND, REFUSED
from .output import counted, print_json, print_line
from .program import error, note
from .verbs import require_consent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from jobsd.database.connection import Session

_TELL_EVERY_S = 1.0


def consent(verb: str, count: int, state: str | None, *, yes: bool, but: str = "") -> None:
    """Go on if many jobs are really meant; `but` is what is to be thought of.

    Raises:
        RefusedError: when nobody says so.
    """
    if count:
        kind = "job" if state is None else f"{state} job"
        require_consent(f"{verb} {counted(count, kind)}{but}", yes=yes)


class Progress:
    """Tells on a terminal, once a second, how many of the jobs have been changed."""

    def __init__(self, verb: str, wanted: int) -> None:
        self.count = 0
        self._verb = verb
        self._wanted = wanted
        self._tell_at = monotonic() + _TELL_EVERY_S

    def add(self, count: int) -> None:
        """Take in what one transaction has done."""
        self.count += count
        if monotonic() >= self._tell_at and sys.stderr.isatty():
            self._tell_at = monotonic() + _TELL_EVERY_S
            note(f"{self.count} of {self._wanted} {self._verb}")

    @property
    def skipped(self) -> int:
        """How many of them had moved on before they were reached."""
        return self._wanted - self.count


@dataclass(frozen=True, slots=True)
class Left:
    """The jobs that were not changed, and why."""

    refused: dict[int, str]
    missing: list[int]

    @property
    def status(self) -> int:
        """How the command ends."""
        return NOT_FOUND if self.missing else REFUSED if self.refused else DONE

    def facts(self) -> dict[str, Any]:
        """Return what a program is told."""
        refused = [{"id": job_id, "reason": why} for job_id, why in self.refused.items()]
        return {"refused": refused, "not_found": self.missing}


def explain(
    session: Session, ids: Iterable[int], refusal: Callable[[inspect.Found], str]
) -> Left:
    """Tell of each job why it was not changed."""
    left = Left({}, [])
    for job_id in ids:
        try:
            left.refused[job_id] = refusal(inspect.find(session, job_id))
            error(left.refused[job_id])
        except NotFoundError as fault:
            left.missing.append(job_id)
            error(str(fault))
    return left


def print_ids(count: int, facts: dict[str, Any], left: Left, *, as_json: bool) -> int:
    """Print what became of jobs that were named; return the exit status."""
    if as_json:
        print_json({**facts, **left.facts()})
    elif count:
        print_line(str(count))
    return left.status


def print_all(progress: Progress, facts: dict[str, Any], *, as_json: bool) -> int:
    """Print what became of jobs that were meant by filters; return the exit status."""
    if progress.skipped:
        moved = counted(progress.skipped, "job")
        note(f"{moved} had moved on meanwhile, or were just being claimed: left alone")
    if as_json:
        print_json({**facts, "skipped": progress.skipped})
    else:
        print_line(str(progress.count))
    return DONE
