"""One embedded server: started by the first process that needs it, stopped by the last."""

import contextlib
import os
from collections.abc import Callable, Generator, Mapping
from pathlib import Path

from jobsd.errors import DatabaseUnreachableError, EmbeddedServerError

from . import account, binaries, cluster, folders, locks, postmaster
from .location import Location

START_TIMEOUT_S = 600.0
"""Recovery after a crash can take minutes; it goes on even when no process waits for it."""

STOP_TIMEOUT_S = 60.0

READY_TIMEOUT_S = 10.0

_REMAINS_TIMEOUT_S = 30.0  # for the remains of a server whose first process was killed
_DISCONNECT_S = 0.3  # a connection is still listed for a moment after its client has gone
_REFUSALS_S = 5.0
_REPORT_AFTER_S = 2.0
_REPORT_EVERY_S = 5.0
_ATTEMPTS = 3  # the server just found or started may be stopped or killed by hand


def _ignore(_message: str) -> None:
    pass


class Server:
    """The server of one location. Constructing it has no effect yet.

    `other_clients` connects to a URL, returns the number of other clients there, and raises
    `DatabaseUnreachableError` when it can't. `report` gets a sentence about each cause of a
    wait.
    """

    def __init__(
        self,
        location: Location,
        environ: Mapping[str, str],
        other_clients: Callable[[str], int],
        report: Callable[[str], None] = _ignore,
    ) -> None:
        self._location = location
        self._environ = environ
        self._other_clients = other_clients
        self._report = report

    def url(self) -> str:
        """Return the URL, whether or not a server runs there."""
        return self._location.url

    def running(self) -> bool:
        """Return whether the server runs; it may be starting or stopping."""
        with self._os_errors():
            return postmaster.find_running(self._location) is not None

    def is_made(self) -> bool:
        """Return whether there is a cluster that could be started."""
        with self._os_errors():
            return self._location.is_made

    def wait_until_ready(self, timeout_s: float = READY_TIMEOUT_S) -> bool:
        """Return whether a running server accepts connections; wait if it is starting.

        Starts and makes nothing: False when no server runs that this user may use.
        """
        try:
            for _ in locks.poll_times(timeout_s):
                found = postmaster.find_running(self._location)
                if found is None or found.is_stopping:
                    return False
                if found.is_ready:
                    return True
        except OSError:  # its folder has gone, or can't be read: nothing is ready there
            pass
        return False

    def crashed(self) -> bool:
        """Return whether the server ended without being stopped."""
        with self._os_errors():
            left = (self._location.data / "postmaster.pid").exists()
            return left and postmaster.find_running(self._location) is None

    def psql(self) -> Path:
        """Return the psql of the server's version.

        Raises:
            EmbeddedServerError: when the binaries come without one.
        """
        with self._os_errors():
            found = binaries.find(self._location, self._environ)
        program = found.program("psql")
        if not program.exists():
            raise EmbeddedServerError("there is no psql", found.directory)
        return program

    def ensure(self, timeout_s: float = START_TIMEOUT_S) -> str:
        """Start the server unless it runs, wait until it answers, and return its URL.

        Any number of processes and threads may do so at once. The server becomes a child of the
        nearest subreaper, so a supervisor calls this before it becomes one. Between this and
        the caller's first connection another process may stop the server: a caller that can't
        connect calls this once more. A supervisor takes its `hold` first.

        Raises:
            EmbeddedServerError: with the end of the server's log.
        """
        with self._locked(timeout_s):
            for _ in range(_ATTEMPTS):
                found = postmaster.find_running(self._location)
                if found and found.is_stopping:
                    postmaster.end(found.pid, self._location, timeout_s)
                    found = None
                pid = found.pid if found else self._start(timeout_s)
                if self._becomes_ready(pid, timeout_s):
                    return self.url()
            raise self._error("PostgreSQL ended while it started")

    def stop(self, timeout_s: float = STOP_TIMEOUT_S) -> bool:
        """Stop the server, used or not; return False when it did not run.

        Raises:
            EmbeddedServerError: when it has not ended in time.
        """
        if not self._location.directory.exists():
            return False
        with self._locked(timeout_s):
            return self._stop(timeout_s)

    def hold(self, timeout_s: float = STOP_TIMEOUT_S) -> locks.Hold:
        """Take a supervisor's share of the server; it lasts as long as the process."""
        with self._os_errors():
            self._prepare_directory()
            return locks.Hold(self._location, timeout_s)

    def release_and_stop_if_last(
        self,
        hold: locks.Hold,
        timeout_s: float = STOP_TIMEOUT_S,
    ) -> bool:
        """Release the share, and stop the server when no other process needs it.

        Return whether it was stopped. Other processes are supervisors that hold a share, and
        connected clients but us.
        """
        with hold, self._locked(timeout_s):
            return hold.is_last() and not self._has_clients() and self._stop(timeout_s)

    def _start(self, timeout_s: float) -> int:
        """Start the server, or find the one that a killed starter has left."""
        lock = folders.open_lock(self._location.directory / "server.lock")
        try:
            for _ in locks.poll_times(min(timeout_s, _REMAINS_TIMEOUT_S)):
                if found := postmaster.find_running(self._location):
                    return found.pid
                if locks.try_lock(lock):
                    return self._launch(lock)
        finally:
            os.close(lock)  # unlike LOCK_UN this leaves the lock with the server
        raise self._error(
            "processes of a server that can't be seen from here use this directory",
            "them to end (they may be in another container)",
        )

    def _launch(self, lock: int) -> int:
        location, environ = self._location, self._environ
        # Checked again: another process may have replaced the data meanwhile.
        owner = self._prepare_directory()
        programs = binaries.usable(binaries.find(location, environ), owner, location, environ)
        if not owner.may_enter(location.directory):
            raise self._error(
                f"user {owner.name}, as whom the server runs, can't enter its directory",
                "parents that all may pass, or another directory by JOBSD_EMBEDDED_DIR",
            )
        cluster.remove_leftovers(location)
        if not location.is_made:
            self._report(f"making a PostgreSQL {programs.major} in {location.directory}")
            cluster.make(location, programs, owner, environ)
        folders.make_private(location.logs, owner)
        folders.make_private(location.socket, owner)
        cluster.write(location, programs, owner)
        return postmaster.launch(location, programs, owner, environ, lock)

    def _becomes_ready(self, pid: int, timeout_s: float) -> bool:
        """Wait until the server answers; return False when it ends or stops instead."""
        refused_at_s: float | None = None
        report_at_s = _REPORT_AFTER_S
        for waited_s in locks.poll_times(timeout_s):
            if not postmaster.is_alive(pid):
                return False
            found = postmaster.find_running(self._location)
            if found and found.is_stopping:
                return False
            if found and found.pid == pid and found.is_ready:
                refusal = self._refusal()
                if not refusal:
                    return True
                refused_at_s = waited_s if refused_at_s is None else refused_at_s
                if waited_s - refused_at_s > _REFUSALS_S:
                    raise self._error(f"PostgreSQL runs but refuses the connection: {refusal}")
            if waited_s > report_at_s:
                report_at_s = waited_s + _REPORT_EVERY_S
                line = "".join(postmaster.last_lines(self._location)[-1:])
                self._report(f"PostgreSQL has been starting for {waited_s:.0f} s: {line}")
        raise self._error(f"PostgreSQL is not ready after {timeout_s:.0f} s; it goes on")

    def _refusal(self) -> str:
        """Return the server's reason for refusing us, or an empty text."""
        try:
            self._other_clients(self.url())
        except DatabaseUnreachableError as error:
            return str(error)
        return ""

    def _has_clients(self) -> bool:
        if postmaster.find_running(self._location) is None:
            return False
        try:
            return all(self._other_clients(self.url()) for _ in locks.poll_times(_DISCONNECT_S))
        except DatabaseUnreachableError as error:
            self._report(f"PostgreSQL keeps running, since its clients are unknown: {error}")
        return True

    def _stop(self, timeout_s: float) -> bool:
        found = postmaster.find_running(self._location)
        if found is None:
            return False
        postmaster.end(found.pid, self._location, timeout_s)
        return True

    def _prepare_directory(self) -> account.Account:
        """Make the directory unless others could change it; return the server's user."""
        owner = account.server_account(self._location, self._environ)
        location = self._location
        folders.make_directory(location.directory, owner.uid, project=location.project)
        return owner

    @contextlib.contextmanager
    def _locked(self, timeout_s: float) -> Generator[None]:
        with self._os_errors():
            self._prepare_directory()
            with locks.directory_lock(self._location, timeout_s, self._report):
                yield

    @contextlib.contextmanager
    def _os_errors(self) -> Generator[None]:
        """Raise errors of the operating system as an error of ours."""
        try:
            yield
        except OSError as error:
            raise self._error(
                f"{error.strerror}: {error.filename}" if error.filename else str(error),
                "a directory that may be written and has room, by JOBSD_EMBEDDED_DIR,"
                " or another database through DATABASE_URL",
            ) from error

    def _error(self, what: str, expected: str = "") -> EmbeddedServerError:
        location = self._location
        return EmbeddedServerError(
            what, location.directory, expected, postmaster.last_lines(location)
        )
