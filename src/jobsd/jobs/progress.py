"""The progress that running jobs report.

A job's thread leaves its reports here, and the control thread of the process writes the last of
them, once a second at most: a job may report each line of a file. A report of the last second
of a job may be written after its end.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Mapping
from itertools import islice
from typing import TYPE_CHECKING

from jobsd.clock import utc_now
from jobsd.database.statements import Statements
from jobsd.errors import Error
from jobsd.text import storable

if TYPE_CHECKING:
    from jobsd.database.connection import Session

STATEMENTS = Statements("jobsd.jobs", "progress.sql")

TAKEN_MAX = 500
"""Jobs whose reports one statement writes: each has 7 kB at most."""
NOTE_MAX = 500
"""Characters of a note that are kept."""


class Said:
    """The reports of the jobs of one process that are not written yet, by their ids."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._texts: dict[int, str] = {}
        self._wake: Callable[[], None] | None = None

    def __bool__(self) -> bool:
        return bool(self._texts)

    def wake_by(self, wake: Callable[[], None]) -> None:
        """Set how the thread that writes is woken; without it, nothing is kept."""
        self._wake = wake

    def put(self, job_id: int, text: str) -> None:
        """Leave a report of a job; called by its thread."""
        if self._wake is None:
            return
        with self._lock:
            first = not self._texts
            self._texts[job_id] = text
        if first:
            self._wake()

    def take(self) -> dict[int, str]:
        """Return the last reports since the last call, of `TAKEN_MAX` jobs at most."""
        with self._lock:
            texts = dict(islice(self._texts.items(), TAKEN_MAX))
            for job_id in texts:
                del self._texts[job_id]
        return texts

    def put_back(self, texts: Mapping[int, str]) -> None:
        """Leave reports that could not be written, except for jobs with newer ones."""
        with self._lock:
            self._texts = {**texts, **self._texts}


SAID = Said()


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
    if not job_id:
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


def _check(name: str, value: object) -> None:
    # A bool is an int too, but no number that anybody means.
    if isinstance(value, int | float) and not isinstance(value, bool):  # noqa: SIM102 - narrows
        # Also integers that are too large for a float: readers of JSON make floats of numbers.
        if 0 <= value <= sys.float_info.max:
            return
    raise Error(f"progress: {name} is {value!r:.60}, which is not a number of at least 0")
