"""Finds the supervisor that runs in a project's folder, and asks it or stops it."""

import contextlib
import json
import os
import select
import signal
import socket
from collections.abc import Generator, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from jobsd import clock, errors
from jobsd.supervisor.requests import peer, running, running_anywhere

POLL_S = 0.05
"""Interval at which a restarting supervisor is asked whether it is ready."""
ACKNOWLEDGED_S = 15.0
"""How long a supervisor may take to acknowledge a request: it may be reading files."""


class NotRunningError(errors.Error):
    """No supervisor runs in this folder. Exit status 3."""


@dataclass(frozen=True, slots=True)
class Stopped:
    """A supervisor that has ended, and how long that took, in seconds."""

    pid: int
    took_s: float


class NoAnswerError(errors.Error):
    """The supervisor does not answer. Exit status 1."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The outcome of a request: the exit status, and the facts to report."""

    pid: int
    status: int
    message: str = ""
    hint: str = ""
    duration: float | None = None

    def facts(self) -> dict[str, Any]:
        """Return it as a document."""
        return {key: value for key, value in asdict(self).items() if value not in {"", None}}


def ask(word: str, root: Path, pid: int | None = None) -> Answer:
    """Ask the one supervisor of the project, or the one of this process id.

    Raises:
        NotRunningError: no supervisor is there, or it ends while we wait.
        RefusedError: several are there, or it is another user's.
        NoAnswerError: it does not answer.
    """
    with _supervisor(root, pid) as (number, connection):
        return _answer(word, number, connection)


def stop(root: Path, pid: int | None = None, *, at_once: bool) -> Stopped:
    """End the one supervisor of the project, or the one of this process id, and wait for it.

    The signal reaches only the process at the other end of the socket, and no other process
    that has got its id since: the connection must still be open after the pidfd was opened.

    Raises:
        NotRunningError: no supervisor is there.
        RefusedError: several are there, it is another user's, or systemd runs it.
    """
    began = clock.monotonic()
    with _supervisor(root, pid) as (number, connection):
        _refuse_for_systemd("stop", number)
        process = os.pidfd_open(number)
        try:
            if not _is_open(connection):
                raise NotRunningError(f"the supervisor, process {number}, has just ended")
            signal.pidfd_send_signal(process, signal.SIGQUIT if at_once else signal.SIGTERM)
            # A process is readable once it has ended.
            select.select([process], [], [])
        except PermissionError:
            raise errors.RefusedError(_of_another_user(number)) from None
        finally:
            os.close(process)
    return Stopped(number, clock.monotonic() - began)


def restart(root: Path, pid: int | None = None) -> Answer:
    """Restart the one supervisor of the project, or the one of this process id.

    Waits until the tree is ready again; the answer is a refusal, or has the duration.

    Raises:
        NotRunningError: no supervisor is there, or it has ended instead.
        RefusedError: several are there, it is another user's, or systemd runs it.
        NoAnswerError: it does not answer.
    """
    began = clock.monotonic()
    with _supervisor(root, pid) as (number, connection):
        _refuse_for_systemd("restart", number)
        process = os.pidfd_open(number)
        try:
            answer = _answer("restart", number, connection)
            while answer.status == 0 and not _is_ready(number):
                if select.select([process], [], [], POLL_S)[0]:
                    raise NotRunningError(
                        f"the supervisor, process {number}, has ended instead; its log says why"
                    )
        finally:
            os.close(process)
    return replace(answer, duration=clock.monotonic() - began)


def _is_ready(pid: int) -> bool:
    """Return whether the supervisor of this process id has a tree that is ready."""
    with contextlib.ExitStack() as stack:
        for connection in running_anywhere():
            stack.enter_context(connection)
            if peer(connection).pid != pid:
                continue
            with contextlib.suppress(errors.Error):
                return _answer("ready", pid, connection).status == 0
    return False


def _refuse_for_systemd(verb: str, pid: int) -> None:
    if unit := systemd_unit(pid):
        raise errors.RefusedError(
            f"systemd runs the supervisor, process {pid}: use `systemctl {verb} {unit}`"
        )


def pids(root: Path) -> list[int]:
    """Return the process ids of the supervisors that run in a project."""
    with contextlib.ExitStack() as stack:
        return [number for number, _ in _askable(running(root), root, stack)]


@contextlib.contextmanager
def _supervisor(root: Path, pid: int | None) -> Generator[tuple[int, socket.socket]]:
    """Connect to the one supervisor of the project, or the one of this process id."""
    with contextlib.ExitStack() as stack:
        found = list(_askable(running(root), root, stack))
        if pid is not None:
            of_folder = [each for each in found if each[0] == pid]
            elsewhere = () if of_folder else _askable(running_anywhere(), root, stack)
            found = of_folder or [each for each in elsewhere if each[0] == pid]
        if not found:
            which = f"supervisor with process id {pid}" if pid else "supervisor"
            raise NotRunningError(f"no {which} runs in {root}")
        if len(found) > 1:
            pids = ", ".join(str(number) for number, _ in found)
            raise errors.RefusedError(
                f"several supervisors run in {root}: choose one with --pid ({pids})"
            )
        yield found[0]


def systemd_unit(pid: int, proc: Path = Path("/proc")) -> str:
    """Return the unit as which systemd runs a process; "" if it does not, or called us.

    A process is the main process of a service if it leads a session of its own, is a child of
    systemd, and is in the service's control group. Its environment can't be read, because its
    title has overwritten it. A command that systemd calls for a unit is in that unit's group,
    too.
    """
    try:
        fields = _text(proc / str(pid) / "stat").rpartition(")")[2].split()
        parent, session = fields[1], fields[3]
        unit = _unit(_text(proc / str(pid) / "cgroup"))
        of_systemd = _text(proc / parent / "comm").strip() == "systemd"
        ours = _unit(_text(proc / "self" / "cgroup"))
    except (OSError, IndexError):
        return ""
    return unit if of_systemd and session == str(pid) and unit != ours else ""


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")


def _unit(groups: str) -> str:
    """Return the innermost service of a control group."""
    found = [part for part in groups.strip().split("/") if part.endswith(".service")]
    return found[-1] if found else ""


def _is_open(connection: socket.socket) -> bool:
    try:
        connection.settimeout(0)
        return connection.recv(1, socket.MSG_PEEK) != b""
    except BlockingIOError:
        return True
    except OSError:
        return False


def _askable(
    connected: Iterable[socket.socket], root: Path, stack: contextlib.ExitStack
) -> Iterator[tuple[int, socket.socket]]:
    """Yield the supervisors whose user, as the kernel reports it, may run one here."""
    trusted = {0, os.geteuid(), root.stat().st_uid}
    for connection in connected:
        stack.enter_context(connection)
        other = peer(connection)
        if other.uid in trusted:
            yield other.pid, connection


def _answer(word: str, pid: int, connection: socket.socket) -> Answer:
    connection.settimeout(ACKNOWLEDGED_S)
    try:
        connection.sendall(f"{word}\n".encode())
        with connection.makefile(encoding="utf-8") as lines:
            heard = lines.readline()
            connection.settimeout(None)
            last = lines.readline() if '"heard"' in heard else heard
    except TimeoutError:
        raise NoAnswerError(f"the supervisor, process {pid}, does not answer") from None
    except OSError:
        heard = last = ""
    if not last:
        raise _gone(pid, was_heard=bool(heard))
    return Answer(pid, **json.loads(last))


def _gone(pid: int, *, was_heard: bool) -> errors.Error:
    if was_heard or not _is_of_another(pid):
        return NotRunningError(f"the supervisor, process {pid}, has ended meanwhile")
    return errors.RefusedError(_of_another_user(pid))


def _of_another_user(pid: int) -> str:
    return f"the supervisor, process {pid}, runs as another user: run this command as that user"


def _is_of_another(pid: int) -> bool:
    try:
        return os.stat(f"/proc/{pid}").st_uid != os.geteuid()  # noqa: PTH116
    except OSError:
        return False
