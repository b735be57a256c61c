"""The words on a job's page for numbers and ids that a program gets.

An error and a progress are JSON that a job may have written: if their form is not ours, they
are shown unchanged.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from jobsd.arguments.json_kinds import is_object

_SHOWN_ELSEWHERE = frozenset(
    {"attempt", "process", "started_at", "ended_at", "type", "message", "stack"}
)


@dataclass(frozen=True, slots=True)
class Died:
    """The end of an attempt's process: its memory, and the other jobs that it was running."""

    rss_kib: int | None
    beside: list[int] | None
    """None if they are unknown."""
    rest: dict[str, Any]
    """The other fields of the error; null ones are left out."""


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of a job; `part` is between 0 and 1, None without a total."""

    done: float
    total: float | None
    part: float | None
    note: str | None
    at: datetime | None


def died(error: Mapping[str, Any], job_id: int) -> Died:
    """Return the facts of an attempt's error other than its type, message and stack."""
    left = {name: value for name, value in error.items() if name not in _SHOWN_ELSEWHERE}
    rss_kib, threads = left.get("rss_kib"), left.get("threads")
    if isinstance(rss_kib, int):
        del left["rss_kib"]
    beside: list[int] | None = None
    if is_object(threads):
        del left["threads"]
        beside = [each for each in threads.values() if isinstance(each, int) and each != job_id]
    rest = {name: value for name, value in left.items() if value is not None}
    return Died(rss_kib if isinstance(rss_kib, int) else None, beside, rest)


def progress(written: Mapping[str, Any] | None) -> Progress | None:
    """Return the progress of a job; None if it does not have our form."""
    done = (written or {}).get("done")
    if written is None or not isinstance(done, int | float):
        return None
    total, note, at = written.get("total"), written.get("note"), written.get("at")
    total = total if isinstance(total, int | float) and total > 0 else None
    return Progress(
        done,
        total,
        # A job's numbers may be too large for a division.
        None if total is None else 1.0 if done >= total else done / total,
        None if note is None else str(note),
        datetime.fromisoformat(at) if isinstance(at, str) else None,
    )
