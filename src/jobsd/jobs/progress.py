"""The progress that running jobs report.

A job's thread leaves its reports here, and the control thread of the process writes the last of
them, once a second at most: a job may report each line of a file. A report of the last second
of a job may be written after its end.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from jobsd.clock import utc_now
from jobsd.database.statements import Statements
from jobsd.errors import Error
from jobsd.text import storable

from .inbox import INBOX, Tray

if TYPE_CHECKING:
    from jobsd.database.connection import Session


class JobProgress(NamedTuple):
    """The progress of a job; `state` is None until it has ended: finished, failed, discarded.

    `progress` is what the job has reported last, as in `JobInfo`; None if nothing is known.
    """

    id: int
    state: str | None
    progress: dict[str, Any] | None


STATEMENTS = Statements("jobsd.jobs", "progress.sql")

TAKEN_MAX = 500
"""Jobs whose reports one statement writes or reads: each has 7 kB at most."""
NOTE_MAX = 500
"""Characters of a note that are kept."""


SAID: Tray[int, str] = Tray()
"""The reports that are not written yet, by the ids of their jobs."""


def say(job_id: int, done: float, total: float | None, note: str | None) -> None:
    """Leave how far a job has come; a job without an id is ignored.

    Raises:
        Error: if a value is not a number, or the note not a text.
    """
    _check("done", done)
    if total is not None:
        _check("total", total)
    if note is not None and not isinstance(note, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise Error(f"progress: the note is {note!r:.60}, which is not a text")
    if not (job_id and INBOX.is_read):
        return
    kept = None if note is None else storable(note[:NOTE_MAX])
    facts = {"done": done, "total": total, "note": kept, "at": utc_now().isoformat()}
    SAID.put(job_id, json.dumps(facts))


def write(session: Session, process_id: int, texts: Mapping[int, str]) -> None:
    """Write how far jobs have come that a process has claimed, or has just ended."""
    parameters = {
        "process_id": process_id,
        "ids": list(texts),
        "texts": list(texts.values()),
    }
    session.fetch(STATEMENTS["write"], parameters)


def read(session: Session, ids: Sequence[int]) -> list[tuple[int, int, dict[str, Any]]]:
    """Return the ids of jobs that have reported progress, when they were created, and it.

    The time is in microseconds since 1970.
    """
    found: list[tuple[int, int, dict[str, Any]]] = []
    for at in range(0, len(ids), TAKEN_MAX):
        found += session.fetch(STATEMENTS["read"], {"ids": ids[at : at + TAKEN_MAX]})
    return found


def _check(name: str, value: object) -> None:
    # A bool is an int too, but no number that anybody means.
    if isinstance(value, int | float) and not isinstance(value, bool):  # noqa: SIM102 - narrows
        # Also integers that are too large for a float: readers of JSON make floats of numbers.
        if 0 <= value <= sys.float_info.max:
            return
    raise Error(f"progress: {name} is {value!r:.60}, which is not a number of at least 0")
