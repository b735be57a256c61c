"""How much one statement carries of what may be large: results, errors, logs.

A statement that takes longer than its deadline is sent again. If it were as large each time, it
would be sent for ever over a slow line, and what waits behind it would never be. So values are
sent in portions of at most 4 MiB, of half as much after each deadline, and at last one by one.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from psycopg import errors

from .deadline import DeadlineError

BYTES_MAX = 4 * 2**20
"""What one statement carries at most; one value alone may be larger."""
ONE_BY_ONE = 2**20
"""Below this, values are sent one by one: one may be as large (`arguments.SIZE_MAX`)."""
IDS_MAX = 10_000
"""Numbers in one array of a statement: at most 200 kB."""
LATE_MAX = 3
"""A value that was alone in its statement is given up after this many deadlines."""
QUICK = 0.25
"""The part of its deadline within which a statement could have carried twice as much."""


T = TypeVar("T")


class Portion:
    """How many bytes the next statement may carry."""

    def __init__(self) -> None:
        self.most = BYTES_MAX

    @property
    def is_one(self) -> bool:
        """Whether values are sent one by one."""
        return self.most < ONE_BY_ONE

    def fitting(self, sizes: Iterable[int]) -> int:
        """Return how many go into the next statement: the first value, and what has no size."""
        count = total = 0
        for size in sizes:
            if total and size and (self.is_one or total + size > self.most):
                break
            total += size
            count += 1
        return count

    def was_answered(self, size: int, took_s: float, deadline_s: float) -> None:
        """Take note of how long a statement took that carried so many bytes."""
        if took_s < QUICK * deadline_s and (self.is_one or size >= self.most // 2):
            self.most = min(BYTES_MAX, self.most * 2)

    def was_late(self, size: int | None = None) -> None:
        """Take note that a statement has passed its deadline that carried so many bytes."""
        sent = self.most if size is None else min(size, self.most)
        self.most = max(ONE_BY_ONE // 2, sent // 2)


def cut(values: Sequence[T], size: Callable[[T], int]) -> Iterator[Sequence[T]]:
    """Yield the values in groups, each of which one statement carries."""
    at = 0
    while at < len(values):
        count = Portion().fitting(map(size, values[at:]))
        yield values[at : at + count]
        at += count


def is_late(error: BaseException) -> bool:
    """Return whether a statement failed since it took too long."""
    return isinstance(error, DeadlineError | errors.QueryCanceled)
