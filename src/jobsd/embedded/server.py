"""One embedded server: started by whoever needs it, stopped by whoever is last."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from jobsd.errors import DatabaseUnreachableError, EmbeddedServerError

from . import account, binaries, cluster, copies, folders, log, postmaster
from . import settings as configuration
from .locks import Hold, directory_lock, polls, taken

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping
    from pathlib import Path

    from .location import Location

START_TIMEOUT_S = 600.0
"""Recovery after a crash can take minutes; it goes on also when nobody waits for it."""

STOP_TIMEOUT_S = 60.0

JOIN_TIMEOUT_S = 10.0

_REMAINS_TIMEOUT_S = 30.0  # for what is left of a server whose first process was killed
_FAREWELL_S = 0.3  # a connection is still listed for a moment after its client has gone
_REFUSALS_S = 5.0
_REPORT_AFTER_S = 2.0
_REPORT_EVERY_S = 5.0
_TRIES = 3  # somebody may stop or kill by hand what we have just found or started


def _ignore(_message: str) -> None:
    pass


class Server:
    """The server of one location. Costs nothing until a method is called.

    `other_clients` connects to a URL, returns how many other clients are connected there, and
    raises `DatabaseUnreachableError` when it can't. `report` gets a sentence about whatever
    makes the caller wait.
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
        """Return the URL, whether or not anything runs there."""
        return self._location.url

    def running(self) -> bool:
        """Return whether the server runs; it may be starting or stopping."""
        with self._faults():
            return postmaster.seen(self._location) is not None

    def is_made(self) -> bool:
        """Return whether there is a cluster that could be started."""
        with self._faults():
            return self._location.is_made

    def joined(self, timeout_s: float = JOIN_TIMEOUT_S) -> bool:
        """Return whether somebody's server answers here, once it has started if it does.

        Starts nothing, and makes nothing: False when nothing runs, or what this user may
        not use.
        """
        try:
            for _ in polls(timeout_s):
                found = postmaster.seen(self._location)
                if found is None or found.is_stopping:
                    return False
                if found.is_ready:
                    return True
        except OSError:
            pass
        return False

    def crashed(self) -> bool:
        """Return whether the server is gone and nobody has stopped it."""
        with self._faults():
            left = (self._location.data / "postmaster.pid").exists()
            return left and postmaster.seen(self._location) is None

    def psql(self) -> Path:
        """Return the psql of the server's version.

        Raises:
            EmbeddedServerError: when the binaries come without one.
        """
        with self._faults():
            found = binaries.find(self._location, self._environ)
        program = found.program("psql")
        if not program.exists():
            raise EmbeddedServerError("there is no psql", found.directory)
        return program

    def ensure(self, timeout_s: float = START_TIMEOUT_S) -> str:
        """Start the server unless it runs, wait until it answers, and return its URL.

        Any number of processes and threads may do so at once. The server becomes a child
        of the nearest subreaper, so a supervisor calls this before it becomes one.
        Between this and the caller's first connection another process may stop the
        server: who can't connect asks once more. A supervisor takes its `hold` first.

        Raises:
            EmbeddedServerError: with the end of the server's log.
        """
        with self._deciding(timeout_s):
            for _ in range(_TRIES):
                found = postmaster.seen(self._location)
                if found and found.is_stopping:
                    postmaster.end(found.pid, self._location, timeout_s)
                    found = None
                pid = found.pid if found else self._start(timeout_s)
                if self._becomes_ready(pid, timeout_s):
                    return self.url()
            raise self._error("PostgreSQL ended while it started")

    def stop(self, timeout_s: float = STOP_TIMEOUT_S) -> bool:
        """Stop the server, whoever uses it; return False when it did not run.

        Raises:
            EmbeddedServerError: when it has not ended in time.
        """
        if not self._location.directory.exists():
            return False
        with self._deciding(timeout_s):
            return self._stop(timeout_s)

    def hold(self, timeout_s: float = STOP_TIMEOUT_S) -> Hold:
        """Take a supervisor's share of the server; held for as long as its process lives."""
        with self._faults():
            self._own_directory()
            return Hold(self._location, timeout_s)

    def release_and_stop_if_last(
        self,
        hold: Hold,
        timeout_s: float = STOP_TIMEOUT_S,
    ) -> bool:
        """Give up the share, and stop the server when nobody else needs it.

        Return whether it was stopped. Others are supervisors that hold a share, and any
        client but us that is connected.
        """
        with hold, self._deciding(timeout_s):
            return hold.is_last() and not self._has_clients() and self._stop(timeout_s)

    def _start(self, timeout_s: float) -> int:
        """Start the server, or find the one that somebody killed while starting it left."""
        lock = folders.open_lock(self._location.directory / "server.lock")
        try:
            for _ in polls(min(timeout_s, _REMAINS_TIMEOUT_S)):
                if found := postmaster.seen(self._location):
                    return found.pid
                if taken(lock):
                    return self._launch(lock)
        finally:
            os.close(lock)  # unlike LOCK_UN this leaves the lock with the server
        raise self._error(
            "processes of a server that can't be seen from here use this directory",
            "them to end (they may be in another container)",
        )

    def _launch(self, lock: int) -> int:
        place, environ = self._location, self._environ
        # Judged anew, for whom it runs as: their owner may have exchanged the data meanwhile.
        owner = self._own_directory()
        programs = copies.usable(binaries.find(place, environ), owner, place, environ)
        if not owner.may_enter(place.directory):
            raise self._error(
                f"user {owner.name}, as whom the server runs, can't enter its directory",
                "parents that all may pass, or another directory by JOBSD_EMBEDDED_DIR",
            )
        cluster.sweep(place)
        if not place.is_made:
            self._report(f"making a PostgreSQL {programs.major} in {place.directory}")
            cluster.make(place, programs, owner, environ)
        folders.make_private(place.logs, owner)
        folders.make_private(place.socket, owner)
        configuration.write(place, programs, owner)
        return postmaster.launch(place, programs, owner, environ, lock)

    def _becomes_ready(self, pid: int, timeout_s: float) -> bool:
        """Wait until the server answers; return False when it ends or stops instead."""
        refused_at_s: float | None = None
        report_at_s = _REPORT_AFTER_S
        for waited_s in polls(timeout_s):
            if not postmaster.is_alive(pid):
                return False
            found = postmaster.seen(self._location)
            if found and found.is_stopping:
                return False
            if found and found.pid == pid and found.is_ready:
                refusal = self._refusal()
                if not refusal:
                    return True
                refused_at_s = waited_s if refused_at_s is None else refused_at_s
                if waited_s - refused_at_s > _REFUSALS_S:
                    raise self._error(f"PostgreSQL runs but refuses us: {refusal}")
            if waited_s > report_at_s:
                report_at_s = waited_s + _REPORT_EVERY_S
                line = "".join(log.last_lines(self._location)[-1:])
                self._report(f"PostgreSQL has been starting for {waited_s:.0f} s: {line}")
        raise self._error(f"PostgreSQL is not ready after {timeout_s:.0f} s; it goes on")

    def _refusal(self) -> str:
        """Return why the server refuses us, or nothing when it does not."""
        try:
            self._other_clients(self.url())
        except DatabaseUnreachableError as error:
            return str(error)
        return ""

    def _has_clients(self) -> bool:
        if postmaster.seen(self._location) is None:
            return False
        try:
            return all(self._other_clients(self.url()) for _ in polls(_FAREWELL_S))
        except DatabaseUnreachableError as error:
            self._report(f"PostgreSQL keeps running, since its clients are unknown: {error}")
        return True

    def _stop(self, timeout_s: float) -> bool:
        found = postmaster.seen(self._location)
        if found is None:
            return False
        postmaster.end(found.pid, self._location, timeout_s)
        return True

    def _own_directory(self) -> account.Account:
        """Make the directory, unless others could change it; return who the server runs as."""
        owner = account.server_account(self._location, self._environ)
        place = self._location
        folders.make_directory(place.directory, owner.uid, project=place.project)
        return owner

    @contextlib.contextmanager
    def _deciding(self, timeout_s: float) -> Generator[None]:
        with self._faults():
            self._own_directory()
            with directory_lock(self._location, timeout_s, self._report):
                yield

    @contextlib.contextmanager
    def _faults(self) -> Generator[None]:
        """Raise what the operating system refuses as an error of ours."""
        try:
            yield
        except OSError as error:
            raise self._error(
                f"{error.strerror}: {error.filename}" if error.filename else str(error),
                "a directory that may be written and has room, by JOBSD_EMBEDDED_DIR,"
                " or another database through DATABASE_URL",
            ) from error

    def _error(self, what: str, expected: str = "") -> EmbeddedServerError:
        place = self._location
        return EmbeddedServerError(what, place.directory, expected, log.last_lines(place))
