"""The directory's lock, a supervisor's share of the server, and the wait for either."""

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Generator, Iterator
from types import TracebackType
from typing import Self

from jobsd import clock, errors

from . import folders
from .location import Location

_NAP_S = 0.005
_NAP_MAX_S = 0.1


def poll_times(timeout_s: float) -> Iterator[float]:
    """Yield the seconds since the call: at once, at growing intervals, and at the end."""
    began = clock.monotonic()
    nap_s = _NAP_S
    while True:
        waited_s = clock.monotonic() - began
        yield waited_s
        if waited_s >= timeout_s:
            return
        time.sleep(min(nap_s, timeout_s - waited_s))
        nap_s = min(nap_s * 1.2, _NAP_MAX_S)


@contextlib.contextmanager
def directory_lock(
    location: Location,
    timeout_s: float,
    report: Callable[[str], None],
) -> Generator[None]:
    """Hold the right to start and stop the server of this directory.

    Raises:
        EmbeddedServerError: when another process has held it for `timeout_s`.
    """
    descriptor = folders.open_lock(location.directory / "start.lock")
    try:
        reported = False
        for waited_s in poll_times(timeout_s):
            if try_lock(descriptor):
                break
            if waited_s > 1 and not reported:
                reported = True
                report("waiting for another process that starts or stops PostgreSQL")
        else:
            raise errors.EmbeddedServerError(
                f"another process has been starting or stopping it for {timeout_s:.0f} s",
                location.directory,
            )
        yield
    finally:
        fcntl.flock(descriptor, fcntl.LOCK_UN)  # a thread may have forked: its copy stays open
        os.close(descriptor)


def try_lock(descriptor: int) -> bool:
    """Lock the whole file for this open description, unless it is locked."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


class Hold:
    """A supervisor's share of the server, which keeps other supervisors from stopping it.

    A POSIX lock (`fcntl`), not `flock`: it belongs to the process and no child inherits it, so
    that it ends with the supervisor even if a stopped child lives on. But any close of the file
    releases it: a process has one hold of a directory.
    """

    def __init__(self, location: Location, timeout_s: float) -> None:
        self._descriptor: int | None = folders.open_lock(
            location.directory / "supervisors.lock",
        )
        for _ in poll_times(timeout_s):
            if self._change(fcntl.LOCK_SH):
                return
        self.release()
        raise errors.EmbeddedServerError(
            f"another supervisor has been stopping it for {timeout_s:.0f} s",
            location.directory,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()

    def is_last(self) -> bool:
        """Return whether no other supervisor has a share; then none can get one."""
        return self._change(fcntl.LOCK_EX)

    def release(self) -> None:
        """Release the share. Harmless when repeated, and in a forked child."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _change(self, mode: int) -> bool:
        if self._descriptor is None:
            return False
        try:
            fcntl.lockf(self._descriptor, mode | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):  # EAGAIN or EACCES, depending on the system
            return False
        return True
