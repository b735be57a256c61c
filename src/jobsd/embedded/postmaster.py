"""The server's first process, the postmaster: found, started, stopped.

Its pid file alone proves nothing: after a crash the pid may be another process's, and
a killed postmaster that was not reaped yet still counts as alive for PostgreSQL, which
then refuses to start (for ever, in a container whose first process reaps nothing).
"""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from jobsd import errors

from . import folders, locks
from .account import Account, server_environment
from .binaries import Binaries
from .location import PORT, Location

_TAIL_BYTES = 8192
_LINES = 10
_NOISE = ("redirecting log output to logging collector", "Future log output will appear")


def last_lines(location: Location) -> tuple[str, ...]:
    """Return the last lines of the last start, oldest first; none if none can be read."""
    lines = _tail(location.start_log)
    try:
        began = location.start_log.stat().st_mtime
        newest = max(location.logs.glob("*.log"), key=lambda path: path.stat().st_mtime)
        if newest.stat().st_mtime >= began:
            lines += _tail(newest)
    except (OSError, ValueError):  # no log yet
        pass
    useful = [line for line in lines if not any(noise in line for noise in _NOISE)]
    return tuple(useful[-_LINES:])


def _tail(path: Path) -> list[str]:
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
            return file.read().decode(errors="replace").strip().splitlines()
    except OSError:
        return []


STUCK_S = 10.0
"""A fast shutdown that is not at its checkpoint by then waits for a process that hangs."""

# The position of the state in the control file, after an identifier and two versions, and its
# value during a shutdown.
_STATE_AT = 16
_SHUTTING_DOWN = 3

# The shell starts a child in the background and prints its pid: a double fork that is safe in a
# program with threads. All other state that could leak in is reset by PostgreSQL (signal mask
# and handlers), by the kernel at the fork (the signal on a parent's death), or by subprocess
# (open files, the session).
_LAUNCH = """
exec "$@" </dev/null >&2 &
echo $!
"""


@dataclass(frozen=True, slots=True)
class Postmaster:
    """A running postmaster, and the status in its pid file.

    `status` is PostgreSQL's word: starting, ready, standby, stopping, or empty at first.
    """

    pid: int
    status: str

    @property
    def is_ready(self) -> bool:
        """Whether it accepts connections."""
        return self.status in {"ready", "standby"}

    @property
    def is_stopping(self) -> bool:
        """Whether it accepts connections no longer."""
        return self.status == "stopping"


def find_running(location: Location) -> Postmaster | None:
    """Return the running postmaster of this directory."""
    try:
        lines = (location.data / "postmaster.pid").read_text(errors="replace").split("\n")
        pid = int(lines[0])
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    if pid <= 0 or not is_alive(pid) or not _may_serve(pid, location.data):
        return None
    return Postmaster(pid, lines[7].strip() if len(lines) > 7 else "")


def is_alive(pid: int) -> bool:
    """Return whether the process runs; a zombie does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] not in {"Z", "X"}


def _command(location: Location, binaries: Binaries) -> tuple[str, ...]:
    settings = f"--config-file={location.settings}"
    return (str(binaries.program("postgres")), "-D", str(location.data), settings)


def launch(
    location: Location,
    binaries: Binaries,
    account: Account,
    environ: Mapping[str, str],
    lock: int,
) -> int:
    """Start a postmaster that inherits `lock`, and return its pid at once.

    The leftovers of an earlier one are removed first. Invariant: the caller has `lock`, so
    no process of an earlier server lives.
    """
    _remove_leftovers(location)
    output = folders.open_log(location.start_log)
    try:
        started = subprocess.run(
            ("/bin/sh", "-c", _LAUNCH, "sh", *_command(location, binaries)),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=output,
            text=True,
            check=False,
            cwd="/",
            env=server_environment(environ),
            start_new_session=True,
            pass_fds=(lock,),
            **account.identity,
        )
    finally:
        os.close(output)
    if not started.stdout.strip():
        raise errors.EmbeddedServerError(
            "the shell could not start PostgreSQL",
            location.directory,
            log=last_lines(location),
        )
    pid = int(started.stdout)
    _protect_from_oom(pid)
    return pid


def _protect_from_oom(pid: int) -> None:
    """Make an OOM kill of the server no likelier than one of any process."""
    score = Path(f"/proc/{pid}/oom_score_adj")
    with contextlib.suppress(OSError):
        score.write_text(str(min(0, int(score.read_text()))))


def end(pid: int, location: Location, timeout_s: float) -> None:
    """Stop a postmaster, with its clients' connections, and wait until it has exited.

    By SIGINT, the fast shutdown, which also hurries a smart one (of SIGTERM), which waits for
    its clients and never ends while a worker is connected. The fast shutdown waits for ever for
    a suspended process, and when it comes in the first moments of the recovery from a crash
    (PostgreSQL 18 waits for a checkpointer that it has not notified). So a postmaster without
    progress is ended by SIGQUIT: committed transactions are in the WAL.

    Raises:
        EmbeddedServerError: when it still runs after `timeout_s`; it goes on stopping.
    """
    _signal(pid, signal.SIGINT)
    cut_short = False
    for waited_s in locks.poll_times(timeout_s):
        if not is_alive(pid):
            return
        if waited_s > STUCK_S and not cut_short and not _is_checkpointing(location):
            cut_short = True
            _signal(pid, signal.SIGQUIT)
    raise errors.EmbeddedServerError(
        f"PostgreSQL (pid {pid}) has been stopping for {timeout_s:.0f} s",
        location.directory,
        log=last_lines(location),
    )


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _is_checkpointing(location: Location) -> bool:
    """Return whether the server is at its last checkpoint, which may take long.

    By its control file; True when that can't be read.
    """
    try:
        with (location.data / "global/pg_control").open("rb") as control:
            state = control.read(_STATE_AT + 4)[_STATE_AT:]
    except OSError:
        return True
    return int.from_bytes(state, sys.byteorder) == _SHUTTING_DOWN


def _may_serve(pid: int, data: Path) -> bool:
    """Return whether the process may be a postmaster of this directory.

    By its command line, which every user may read; its working directory would be surer, but
    root in a container may not read that. A postmaster that was started by hand without a full
    path is accepted: its pid is in our file.
    """
    try:
        command = os.fsdecode(Path(f"/proc/{pid}/cmdline").read_bytes()).split("\0")
    except OSError:
        return False
    if Path(command[0]).name not in {"postgres", "postmaster"}:
        return False
    given = command[command.index("-D") + 1] if "-D" in command[:-1] else ""
    return not given.startswith("/") or os.path.realpath(given) == os.path.realpath(data)


def _remove_leftovers(location: Location) -> None:
    socket = f".s.PGSQL.{PORT}"
    for left in (
        location.data / "postmaster.pid",
        location.socket / socket,
        location.socket / f"{socket}.lock",
    ):
        left.unlink(missing_ok=True)
