"""The batches of a bulk, and their rows as JSON for drivers that have no COPY in common."""

import json
import re
from collections.abc import Iterable, Iterator
from itertools import chain, islice

from jobsd.database.portions import BYTES_MAX
from jobsd.errors import EnqueueError
from jobsd.jobs.draft import Draft
from jobsd.text import byte_size

_OF_JSON = ("arguments", "context")
_ESCAPE = re.compile(r"\\(.)")
_ESCAPED = {"t": "\t", "n": "\n", "r": "\r"}


class Batches:
    """Cuts the jobs of a bulk into batches, each of which is stored by one statement.

    A batch has `most` jobs at most, and 4 MiB of arguments, or one job.
    """

    def __init__(self, jobs: Iterator[Draft], most: int) -> None:
        self._jobs = jobs
        self._most = most
        self._held: list[Draft] = []
        """The job that did not fit into the batch before."""
        self.is_full = False
        """Whether the last batch has all that it may have, so that more may follow."""

    def draw(self) -> Iterator[Draft]:
        """Yield the jobs of the next batch.

        Raises:
            EnqueueError: if an item is not a job.
        """
        self.is_full = False
        size = 0
        for count, job in enumerate(islice(chain(self._taken(), self._jobs), self._most)):
            size += byte_size(checked(job).arguments)
            if count and size > BYTES_MAX:
                self._held.append(job)
                self.is_full = True
                return
            yield job
            self.is_full = count + 1 == self._most

    def _taken(self) -> Iterator[Draft]:
        """Yield the job that was held back, if there is one."""
        while self._held:
            yield self._held.pop()


def checked(job: Draft) -> Draft:
    """Return the job if it is a draft.

    Raises:
        EnqueueError: if it is not a draft.
    """
    if not isinstance(job, Draft):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise EnqueueError(f"{job!r} is not a job with arguments: write job.with_args(…)")
    return job


def as_json(lines: Iterable[str], columns: tuple[str, ...]) -> Iterator[str]:
    """Return lists of the rows that the lines hold; some columns are JSON themselves."""
    rows: list[str] = []
    size = 0
    for line in lines:
        row = _row(line.removesuffix("\n").split("\t"), columns)
        if rows and size + byte_size(row) > BYTES_MAX:
            yield f"[{','.join(rows)}]"
            rows, size = [], 0
        rows.append(row)
        size += byte_size(row) + 1
    if rows:
        yield f"[{','.join(rows)}]"


def _row(fields: list[str], columns: tuple[str, ...]) -> str:
    named = zip(columns, fields, strict=True)
    pairs = (f'"{name}":{_value(name, field)}' for name, field in named)
    return f"{{{','.join(pairs)}}}"


def _value(name: str, field: str) -> str:
    if field == r"\N":
        return "null"
    text = _unescaped(field)
    return text if name in _OF_JSON else json.dumps(text, ensure_ascii=False)


def _unescaped(field: str) -> str:
    if "\\" not in field:
        return field
    return _ESCAPE.sub(lambda escape: _ESCAPED.get(escape[1], escape[1]), field)
