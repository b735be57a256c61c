"""What the tests of failures ask and wait for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    Query = Callable[[str], list[tuple[object, ...]]]

_FINISHED = "SELECT count(*) FROM jobsd.jobs WHERE outcome = 'finished'"
_PID = "SELECT pid FROM jobsd.processes WHERE kind = 'worker' AND metadata ->> 'queues' = '{}'"


def pid_of_worker(query: Query, queues: str = "*") -> int:
    """Return the process id of the only worker of these queues, once it is registered."""
    ((pid,),) = wait_until(lambda: query(_PID.format(queues)))
    return int(pid)


def finished(query: Query, count: int, reported: Callable[[], str] = str) -> None:
    """Wait until so many jobs have finished."""
    wait_until(lambda: query(_FINISHED) == [(count,)], what=reported)
