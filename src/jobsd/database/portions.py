"""Portions: how much one statement carries of values that may be large: results, errors, logs.

A statement that takes longer than its deadline is sent again. If it were as large each time,
over a slow line it would be sent for ever, and the values after it never. So values are sent in
portions of at most 4 MiB, half the size after each deadline, and at last one by one.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from psycopg import errors

from .deadline import DeadlineError

BYTES_MAX = 4 * 2**20
"""The maximum bytes of one statement; one value alone may be larger."""
ONE_BY_ONE = 2**20
"""Below this, values are sent one by one: one may be as large (`arguments.SIZE_MAX`)."""
IDS_MAX = 10_000
"""Numbers in one array of a statement: at most 200 kB."""
LATE_MAX = 3
"""A value that was alone in its statement is given up after this many deadlines."""
QUICK = 0.25
"""A statement that takes less than this part of its deadline could have carried twice as much.
"""


T = TypeVar("T")


class Portion:
    """The number of bytes that the next statement may carry."""

    def __init__(self) -> None:
        self.most = BYTES_MAX

    @property
    def is_one(self) -> bool:
        """Whether values are sent one by one."""
        return self.most < ONE_BY_ONE

    def fitting(self, sizes: Iterable[int]) -> int:
        """Return the number of values that the next statement carries: at least one."""
        count = total = 0
        for size in sizes:
            if total and size and (self.is_one or total + size > self.most):
                break
            total += size
            count += 1
        return count

    def was_answered(self, size: int, took_s: float, deadline_s: float) -> None:
        """Note the duration of a statement that carried `size` bytes."""
        if took_s < QUICK * deadline_s and (self.is_one or size >= self.most // 2):
            self.most = min(BYTES_MAX, self.most * 2)

    def was_late(self, size: int | None = None) -> None:
        """Note that a statement of `size` bytes has passed its deadline."""
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
    """Return whether a statement failed because it took too long."""
    return isinstance(error, DeadlineError | errors.QueryCanceled)
