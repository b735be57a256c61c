"""A process of its own that uses an embedded server, and the test's end of it.

Run as a script it says each thing as one line of JSON. It imports everything before it
becomes another user, since that user may not be able to reach the Python it runs in.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import pwd
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import psycopg

from jobsd.database.clients import other_clients
from jobsd.embedded import Location, Server
from jobsd.embedded.locks import poll_times
from jobsd.errors import EmbeddedServerError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

_PR_SET_CHILD_SUBREAPER = 36


class Actor:
    """The test's end: start, listen, let go on, kill."""

    def __init__(
        self, verb: str, place: Location, user: str | None = None, **environ: str
    ) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-P", __file__, verb, str(place.directory), str(place.copies)],
            env={**os.environ, **environ, "ACTOR_USER": user or ""},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def says(self) -> Any:
        """Return what it says next; None once it has ended."""
        assert self.process.stdout
        line = self.process.stdout.readline()
        return json.loads(line) if line else None

    def go_on(self) -> None:
        assert self.process.stdin
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            with contextlib.suppress(BrokenPipeError):
                if pipe:
                    pipe.close()


def asked(verb: str, place: Location, user: str | None = None, **environ: str) -> Any:
    """Return the one thing that an actor says."""
    with Actor(verb, place, user, **environ) as actor:
        return actor.says()


def eventually(condition: Callable[[], object], within_s: float = 20) -> bool:
    """Return whether the condition came true in time."""
    return any(condition() for _ in poll_times(within_s))


@contextlib.contextmanager
def acting_as(user: str, *groups: int) -> Generator[None]:
    """Be another user for a while, as far as files are concerned."""
    entry, before = pwd.getpwnam(user), os.getgroups()
    os.setgroups(groups)
    os.setegid(entry.pw_gid)
    os.seteuid(entry.pw_uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(before)


def postmaster_pid(place: Location) -> int:
    return int((place.data / "postmaster.pid").read_text().split("\n")[0])


def _say(thing: object) -> None:
    print(json.dumps(thing), flush=True)


def _ensure(server: Server, _place: Location) -> None:
    _say(server.ensure())


def _ensure_deaf(server: Server, _place: Location) -> None:
    """Start it with every signal blocked and the interrupt ignored."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, signal.valid_signals())
    _say(server.ensure())


def _ensure_over_a_zombie(server: Server, place: Location) -> None:
    """Kill the server, reap it not, and start it again."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)
    server.ensure()
    pid = postmaster_pid(place)
    os.kill(pid, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    _say(server.ensure())


def _stop(server: Server, _place: Location) -> None:
    _say(server.stop())


def _connect(server: Server, _place: Location) -> None:
    with psycopg.connect(server.url()):
        _say("connected")
        sys.stdin.readline()


def _supervise(server: Server, _place: Location) -> None:
    hold = server.hold()
    server.ensure()
    _say("holding")
    sys.stdin.readline()
    _say(server.release_and_stop_if_last(hold))


def _supervise_with_a_child(server: Server, _place: Location) -> None:
    """Hold a share, and have a child that lives on."""
    _hold = server.hold()
    server.ensure()
    if child := os.fork():
        _say(child)
    sys.stdin.readline()


_VERBS = {
    "ensure": _ensure,
    "ensure_deaf": _ensure_deaf,
    "ensure_over_a_zombie": _ensure_over_a_zombie,
    "stop": _stop,
    "connect": _connect,
    "supervise": _supervise,
    "supervise_with_a_child": _supervise_with_a_child,
}


def _become(user: str) -> None:
    entry = pwd.getpwnam(user)
    os.setgroups([])
    os.setgid(entry.pw_gid)
    os.setuid(entry.pw_uid)


def _main() -> None:
    verb, directory, copies = sys.argv[1:]
    if user := os.environ["ACTOR_USER"]:
        _become(user)
    place = Location(Path(directory), "test", Path(copies))
    try:
        _VERBS[verb](Server(place, os.environ, other_clients), place)
    except EmbeddedServerError as error:
        _say({"error": str(error)})


if __name__ == "__main__":
    _main()
