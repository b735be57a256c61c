"""Ends the wait for a connect in time, in a process that is about to be killed.

The driver waits `connect_timeout` for each host of a URL, and can't be told meanwhile that the
process is to be killed sooner. So a process with a limit connects in a thread. It leaves the
thread behind when the time is over; a connection that still comes is closed.
"""

import math
import threading
from collections.abc import Callable
from concurrent import futures
from typing import TypeVar

import psycopg

from jobsd.clock import monotonic

SLICE_S = 0.5
"""How long a wait rests before it checks again how much time is left to the process."""

C = TypeVar("C", bound="psycopg.Connection[tuple[object, ...]]")


def unhurried() -> float:
    """Return the seconds left of a process that has all the time."""
    return math.inf


def in_time(connect: Callable[[], C], left_s: Callable[[], float]) -> C:
    """Return the connection that `connect` makes, in at most half of the time that is left.

    Raises:
        psycopg.OperationalError: if it takes longer, or as `connect` does.
    """
    if left_s is unhurried:
        return connect()
    made: futures.Future[C] = futures.Future()
    thread = threading.Thread(target=_make, args=(connect, made), name="connect", daemon=True)
    try:
        thread.start()
    except RuntimeError as error:
        raise psycopg.OperationalError(str(error)) from error
    try:
        _wait(made, left_s)
    except BaseException:
        made.add_done_callback(_close)
        raise
    return made.result()


def _wait(made: futures.Future[C], left_s: Callable[[], float]) -> None:
    began, limit_s = monotonic(), math.inf
    while not made.done():
        took_s = monotonic() - began
        limit_s = min(limit_s, took_s + left_s() / 2)
        if took_s >= limit_s:
            raise psycopg.OperationalError("given up: the process is to end before it connects")
        futures.wait([made], min(limit_s - took_s, SLICE_S))


def _make(connect: Callable[[], C], made: futures.Future[C]) -> None:
    try:
        made.set_result(connect())
    except BaseException as error:  # noqa: BLE001 - raised where it is waited for
        made.set_exception(error)


def _close(made: futures.Future[C]) -> None:
    if made.exception() is None:
        made.result().close()
