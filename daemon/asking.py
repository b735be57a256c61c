"""Asks the supervisor that runs in a project's folder, and waits for its answer."""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from jobsd.errors import Error, RefusedError
from jobsd.supervisor.requests import peer, running, running_anywhere

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterable, Iterator
    from pathlib import Path

HEARD_S = 15.0
"""How long a supervisor may take to say that it has heard: it may be reading files."""


class NotRunningError(Error):
    """No supervisor runs in this folder. Exit status 3."""


class NoAnswerError(Error):
    """The supervisor does not answer. Exit status 1."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a request: the exit status, and what there is to tell."""

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
        NotRunningError: nobody is there, or ends while we wait.
        RefusedError: several are there, or it is not for us to ask.
        NoAnswerError: it stands still.
    """
    with contextlib.ExitStack() as stack:
        chosen = list(_askable(running(root), root, stack))
        if pid is not None:
            of_folder = [each for each in chosen if each[0] == pid]
            found = () if of_folder else _askable(running_anywhere(), root, stack)
            chosen = of_folder or [each for each in found if each[0] == pid]
        if not chosen:
            which = f"supervisor with process id {pid}" if pid else "supervisor"
            raise NotRunningError(f"no {which} runs in {root}")
        if len(chosen) > 1:
            pids = ", ".join(str(number) for number, _ in chosen)
            raise RefusedError(f"several supervisors run in {root}: say --pid, one of {pids}")
        ((number, connection),) = chosen
        return _answer(word, number, connection)


def _askable(
    connected: Iterable[socket.socket], root: Path, stack: contextlib.ExitStack
) -> Iterator[tuple[int, socket.socket]]:
    """Yield the supervisors that the kernel says are of somebody who may run one here."""
    trusted = {0, os.geteuid(), root.stat().st_uid}
    for connection in connected:
        stack.enter_context(connection)
        other = peer(connection)
        if other.uid in trusted:
            yield other.pid, connection


def _answer(word: str, pid: int, connection: socket.socket) -> Answer:
    connection.settimeout(HEARD_S)
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


def _gone(pid: int, *, was_heard: bool) -> Error:
    if was_heard or not _is_of_another(pid):
        return NotRunningError(f"the supervisor, process {pid}, has ended meanwhile")
    return RefusedError(f"the supervisor, process {pid}, is of another user: ask as that one")


def _is_of_another(pid: int) -> bool:
    try:
        return os.stat(f"/proc/{pid}").st_uid != os.geteuid()  # noqa: PTH116
    except OSError:
        return False
