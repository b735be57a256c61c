"""Runs a tree from its configuration until it ends.

In this order, so that every fault is reported before any process runs: the pidfile, the port,
the user's modules (in a child that is thrown away), the database (in another). Only then the
supervisor begins: it has no connection, no thread and no module of the user's.
"""

import contextlib
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

from psycopg import errors

from jobsd.acts import everything
from jobsd.clock import monotonic
from jobsd.configuration import flags
from jobsd.configuration.options import Options
from jobsd.configuration.target import Database, database
from jobsd.configuration.tree_name import tree_of
from jobsd.daemon import program
from jobsd.daemon.statuses import DONE, UNREACHABLE
from jobsd.database.connection import OUTAGES, Session
from jobsd.database.migrate import bring_up
from jobsd.errors import ConfigurationError
from jobsd.events.events import emit
from jobsd.logs import logs
from jobsd.processes import outage
from jobsd.processes.outcome_journal import journal_paths
from jobsd.processes.registry import new_name
from jobsd.scoreboard.scoreboard import Scoreboard
from jobsd.supervisor import children, requests, signals
from jobsd.supervisor.monitor.one_database import Comparison
from jobsd.supervisor.monitor.schema import blocked
from jobsd.supervisor.requests import Requests
from jobsd.supervisor.supervisor import Supervisor, SupervisorCallbacks

from . import child, import_check, listener
from .assembly import Assembly, hook_line
from .pidfile import Pidfile, unusable

if TYPE_CHECKING:
    from jobsd.embedded import Hold


class Readiness:
    """Reports readiness and status to systemd, or another service manager: see sd_notify(3).

    `watchdog_s` is the interval of its watchdog, None for none. The variables are read once:
    children must not find them.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        address = environ.get("NOTIFY_SOCKET", "")
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self.watchdog_s = _watchdog_s(environ)

    def notify(self, lines: str) -> None:
        """Send assignments, one a line; never raises and never waits."""
        if not self._address:
            return
        # A receiver that does not listen, or has no room, misses it: we don't wait.
        with contextlib.suppress(OSError), _datagrams() as wire:
            wire.sendto(lines.encode(), socket.MSG_DONTWAIT, self._address)


def _datagrams() -> socket.socket:
    return socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)


def _watchdog_s(environ: Mapping[str, str]) -> float | None:
    if environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    usec = environ.get("WATCHDOG_USEC", "")
    return int(usec) / 1e6 if usec.isdecimal() and int(usec) else None


def handle_signals() -> None:
    """Let TERM and QUIT end the start, until the supervisor handles them itself.

    As process 1 of a container: the kernel drops a signal without a handler, TERM too, so a
    container that is stopped while the tree still starts would wait until its engine kills it.
    Elsewhere the default action is right.
    """
    # A supervisor that restarts has blocked them.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, signals.HEARD)
    if os.getpid() == 1:
        for number in (signal.SIGTERM, signal.SIGQUIT):
            signal.signal(number, _end)


def _end(number: int, frame: FrameType | None) -> NoReturn:
    del frame
    sys.exit(128 + number)


LATER = 75
"""The child could not prepare the database, since it is away, or another session holds its
tables; or it could not compare it with that of the application. The monitor will."""

_UNCHANGEABLE = ("database", "monitor", "supervisor")

FAREWELL_S = 0.8
"""Time for stopping the embedded server; it goes on stopping without us."""


PAUSED = "--paused"
"""The flag of `start` that pauses everything; a tree that restarts itself drops it."""


def launch(
    options: Options,
    environ: Mapping[str, str],
    read: Callable[[], Options],
    *,
    paused: bool = False,
) -> int:
    """Run the tree of the options; return the exit status of the program.

    `read` reads the configuration again, for a reload. With `paused`, everything is paused in
    the database before any process begins.

    Raises:
        Error: naming the reason why the tree was not started.
    """
    handle_signals()
    began_in = os.getcwd()  # noqa: PTH109 - a text, also of a folder that is gone later
    os.chdir(options.root)
    found = database(options, environ, _report, makes=True)
    scoreboard = Scoreboard()
    scoreboard.supervisor_name, scoreboard.tree_name = new_name("supervisor"), tree_of(options)
    _log_through(Assembly(options, found, None), scoreboard)
    pidfile = _pidfile(options)
    try:
        prepare = partial(_prepare, found, scoreboard, pauses=paused)
        status, restarts = _run(options, found, environ, scoreboard, pidfile, read, prepare)
    finally:
        if pidfile is not None:
            pidfile.release()
    if restarts:
        _execute_again(began_in)
    return status


def _run(  # noqa: PLR0913, PLR0917 - what a tree is run from
    options: Options,
    found: Database,
    environ: Mapping[str, str],
    scoreboard: Scoreboard,
    pidfile: Pidfile | None,
    read: Callable[[], Options],
    prepare: Callable[[str], int],
) -> tuple[int, bool]:
    """Run the tree; return the exit status, and whether it is to be started again.

    `prepare` prepares the database; see `_prepare`.
    """
    for warning in options.warnings:
        emit("configuration.warning", warning=warning)
    assembly = Assembly(options, found, *listener.listeners(options, environ))
    imported = _import(options)
    scoreboard.hook_line = hook_line(imported)
    scheduling = partial(import_check.scheduling, imported.code_tasks)
    assembly = replace(assembly, options=scheduling(options))
    # Taken before the server is started, so that no other supervisor stops it meanwhile.
    share = found.server.hold() if found.server else None
    status = child.in_child(lambda: prepare(imported.applied))
    if status not in {DONE, LATER}:
        return status, False
    if status == LATER:
        assembly = replace(assembly, applied=imported.applied)
    supervisor = _supervisor(assembly, environ, scoreboard, pidfile, lambda: scheduling(read()))
    status = supervisor.run()
    # A late signal: Python would die of it while it finalizes, and a restart would miss it.
    signal.pthread_sigmask(signal.SIG_BLOCK, signals.HEARD)
    if not (restarts := supervisor.restarts):
        _leave(found, share)
    elif share is not None:
        share.release()
    return status, restarts


def _execute_again(folder: str) -> NoReturn:
    """Become the program that a restart finds, by the same words, in the same folder."""
    with contextlib.suppress(OSError):
        os.chdir(folder)
    logs.finish()
    words = [word for word in sys.orig_argv[1:] if word != PAUSED]
    os.execv(sys.executable, [sys.executable, *words])  # noqa: S606 - no shell


def _import(options: Options) -> import_check.Imported:
    """Check the user's modules and the recurring tasks, and emit the warnings.

    Raises:
        ConfigurationError: with all faults.
    """
    imported = import_check.check_imports(options)
    if imported.faults:
        raise ConfigurationError(imported.faults)
    for warning in imported.warnings:
        emit("configuration.warning", warning=warning)
    return imported


def _log_through(assembly: Assembly, scoreboard: Scoreboard) -> None:
    assembly.log_through(scoreboard)
    if assembly.options.logs.file is not None:
        _report(f"the log is written to {assembly.options.logs.file}")


def _supervisor(
    assembly: Assembly,
    environ: Mapping[str, str],
    scoreboard: Scoreboard,
    pidfile: Pidfile | None,
    read: Callable[[], Options],
) -> Supervisor:
    def reload() -> list[children.ChildSpec]:
        wanted = read()
        fresh = replace(assembly, options=_reloadable(assembly.options, wanted))
        fresh.log_through(scoreboard)
        changes = _unchangeable(assembly.options, wanted)
        for warning in (*wanted.warnings, *changes):
            emit("configuration.warning", warning=warning)
        return fresh.specs(scoreboard)

    scoreboard.journals_unread = bool(journal_paths(assembly.journals))
    readiness = Readiness(environ)
    return Supervisor(
        assembly.specs(scoreboard),
        assembly.options.supervisor,
        scoreboard,
        callbacks=SupervisorCallbacks(
            reload=reload,
            read=read,
            reopen_logs=logs.reopen,
            requests=_requests(assembly.options.root),
            notify=readiness.notify,
            watchdog_s=readiness.watchdog_s,
        ),
        listeners=assembly.listeners,
        private=() if pidfile is None else (pidfile.fd,),
    )


def _requests(root: Path) -> Requests:
    listening = requests.listen(root)
    if not any(listening.descriptors()):
        message = (
            "commands can't ask this supervisor (`reload`, `restart`, `stop`): the names of its"
            " sockets are taken; SIGHUP reloads it"
        )
        emit("configuration.warning", warning=message)
    return listening


def _reloadable(old: Options, new: Options) -> Options:
    """Return the options of a reload: the supervisor's own ones stay unchanged."""
    web = replace(new.web, bind=old.web.bind)
    unchanged = {name: getattr(old, name) for name in _UNCHANGEABLE}
    return replace(new, web=web, **unchanged)


def _unchangeable(old: Options, new: Options) -> Iterator[str]:
    """Yield a warning for each changed setting that a reload does not apply."""
    for name in _UNCHANGEABLE:
        if getattr(old, name) != getattr(new, name):
            yield f"{name}: changes there take effect at the next start"
    if old.web.bind != new.web.bind:
        yield "web.bind: changes there take effect at the next start"


def _pidfile(options: Options) -> Pidfile | None:
    path = options.supervisor.pidfile
    if path is None:
        return None
    place = flags.place(options, "pidfile", "supervisor.pidfile")
    if not (path.parent.is_dir() or path.is_relative_to(options.root)):
        raise unusable(
            path, f"there is no folder {path.parent}", "create it, or correct the path", place
        )
    try:
        return Pidfile(path, place)
    except OSError as error:
        raise unusable(path, str(error.strerror), place=place) from error


def _prepare(found: Database, scoreboard: Scoreboard, applied: str, *, pauses: bool) -> int:
    """Start an embedded server and bring the tables up to date, in a child.

    Tables are made only in the database into which the application enqueues. With `pauses`,
    everything is paused then, and without a database nothing is started.
    """
    began = monotonic()
    if found.server is not None and not found.server.running():
        found.server.ensure()
        emit("embedded.started", duration=round(monotonic() - began, 3))
    if warning := Comparison(found.target, applied).require():
        emit("configuration.warning", warning=warning)
    try:
        steps = found.prepare(blocked) if found.server else bring_up(found.target, blocked)
        if pauses:
            _pause(found)
    except errors.LockNotAvailable:
        # The database is there, and it was reported which sessions hold its tables.
        return _later(pauses=pauses)
    except OUTAGES as error:
        outage.begin(scoreboard, error)
        return _later(pauses=pauses)
    if steps:
        emit("database.migrated", steps=steps)
    return LATER if warning else DONE


def _later(*, pauses: bool) -> int:
    """Return the status for a database that could not be prepared."""
    if not pauses:
        return LATER
    _report("nothing was started: everything could not be paused in the database")
    return UNREACHABLE


def _pause(found: Database) -> None:
    with contextlib.closing(Session(found.target, "jobsd start")) as session:
        everything.pause(session, f"started with {PAUSED}")


def _leave(found: Database, share: "Hold | None") -> None:
    """Release the embedded server, and stop it unless others use it."""
    if share is None:
        return
    share.release()
    ended = child.in_child(lambda: _stop_if_last(found), FAREWELL_S)
    if ended == 128 + signal.SIGALRM:
        emit("embedded.stopping")


def _stop_if_last(found: Database) -> int:
    """Stop the embedded server unless others use it, in a child: it takes a connection."""
    if found.server is not None and found.server.release_and_stop_if_last(found.server.hold()):
        emit("embedded.stopped")
    return DONE


def _report(message: str) -> None:
    program.note(f"jobsd: {message}")
