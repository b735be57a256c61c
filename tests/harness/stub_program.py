"""A real supervisor over stub processes that do, when ordered, what goes wrong.

Run as a program, with what it is to be as one JSON argument. Its processes find their
commands as files in the working directory: who removes a file has taken the command.
All events come out as JSON lines.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobsd.clock import monotonic_ns
from jobsd.configuration.options import SupervisorOptions
from jobsd.daemon.tree.launch import Readiness
from jobsd.daemon.tree.pidfile import Pidfile
from jobsd.events.events import Event, subscribe
from jobsd.processes.process import run
from jobsd.scoreboard.scoreboard import Scoreboard
from jobsd.supervisor.children import ChildSpec
from jobsd.supervisor.supervisor import Supervisor, SupervisorCallbacks

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from jobsd.processes.context import Context
    from jobsd.scoreboard.entry import ScoreboardEntry

REST_S = 0.02
SUPERVISOR_PID = os.getpid()
FORK = os.fork


def ordered(what: str) -> bool:
    """Return whether a command is given for all, as long as its file is there."""
    return Path(what).exists()


def taken(what: str) -> bool:
    """Take a command that is for one process only."""
    try:
        Path(what).unlink()
    except FileNotFoundError:
        return False
    return True


def write(event: str, **facts: Any) -> None:
    """Write one line; whole, whoever else writes to the pipe."""
    line = json.dumps({"event": event, "by": os.getpid(), **facts}, default=repr) + "\n"
    os.write(1, line.encode())


def write_event(event: Event, facts: dict[str, Any]) -> None:
    if ordered("no-log") and os.getpid() == SUPERVISOR_PID:
        raise OSError("the log is gone")
    write(event.name, at=time.monotonic(), **facts)


class Stub:
    """A loop with nothing to do but what the files say."""

    def __init__(self, kind: str, context: Context) -> None:
        self.kind = kind
        self.context = context
        self.ending = False

    def connect(self) -> None:
        pass

    def disconnect(self) -> None:
        pass

    def socket(self) -> int | None:
        return None

    def doing(self) -> str:
        return "nothing"

    def stop(self) -> None:
        self.ending = True

    @property
    def stopped(self) -> bool:
        return self.ending and not ordered(f"{self.kind}.slow")

    def farewell(self) -> None:
        pass

    def poll(self) -> float:
        if ordered(f"{self.kind}.leaves"):
            os.kill(os.getpid(), signal.SIGTERM)
        for command, act in COMMANDS.items():
            if taken(f"{self.kind}.{command}"):
                act(self.context)
        return REST_S


class StubMonitor(Stub):
    """Frees the entries of the dead, and writes down how they died."""

    def poll(self) -> float:
        scoreboard = self.context.scoreboard
        if not ordered("monitor.blocked"):
            scoreboard.monitor_polled_ns = monotonic_ns()
            scoreboard.database_up = 1
        if not ordered("monitor.away"):
            self._recover()
        return super().poll()

    def connect(self) -> None:
        # As it is for the real one, a reason to come round now.
        signal.signal(signal.SIGUSR2, lambda _number, _frame: write("woken"))

    def farewell(self) -> None:
        self._recover()
        left = [entry.kind for entry in self.context.scoreboard.living()]
        write("last words", stopping=self.context.scoreboard.stopping, left=left)

    def _recover(self) -> None:
        for entry in self.context.scoreboard.dead():
            write("recovered", **_death(entry))
            entry.free()


def _death(entry: ScoreboardEntry) -> dict[str, Any]:
    return {
        "kind": entry.kind,
        "name": entry.name,
        "pid": entry.pid,
        "reason": entry.reason,
        "exit_code": os.waitstatus_to_exitcode(entry.status),
        "running": [each.job_id for each in entry.running()],
    }


def hang(_context: Context) -> None:
    """Stand still in Python."""
    while True:
        time.sleep(1)


def hang_in_c(_context: Context) -> None:
    """Stand still in a call that keeps the interpreter's lock."""
    ctypes.PyDLL(None).sleep(1000)


def be_deaf(_context: Context) -> None:
    """Stand still, and hold back the signal that would dump the stacks."""
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGABRT])
    write("deaf")
    hang(_context)


def wait_long(_context: Context) -> None:
    """Stand still as in a long wait for the database, which signals interrupt in vain."""
    write("waits", pid=os.getpid())
    time.sleep(1000)


def spawn_orphan(_context: Context, by: str = "") -> None:
    """Leave a process behind that has lost its parent."""
    command = f"{by} sleep 300 >/dev/null 2>&1 & echo $!"
    out = subprocess.run(["sh", "-c", command], stdout=subprocess.PIPE, check=True)
    write("orphan", pid=int(out.stdout))


def spawn_session(context: Context) -> None:
    """Leave a process behind that has a session of its own, as a server has."""
    spawn_orphan(context, "setsid")


def report_inheritance(context: Context) -> None:
    """Tell what this process, and a program that it starts, have from the supervisor."""
    status = subprocess.run(
        ["cat", "/proc/self/status"], stdout=subprocess.PIPE, check=True, text=True
    )
    fields = dict(line.split(":\t", 1) for line in status.stdout.splitlines() if ":\t" in line)
    files: list[str] = []
    for entry in list(Path("/proc/self/fd").iterdir()):
        with contextlib.suppress(FileNotFoundError):  # by which the folder was read
            files.append(str(entry.readlink()))
    write(
        "inheritance",
        kind=context.entry.kind,
        ignored=int(fields["SigIgn"], 16),
        blocked=int(fields["SigBlk"], 16),
        environ=[name for name in os.environ if name.startswith(("NOTIFY", "WATCH", "LISTEN"))],
        files=files,
        oom_score_adj=int(Path("/proc/self/oom_score_adj").read_text(encoding="ascii")),
        dice=random.random(),  # noqa: S311 - no secret
    )


def eat_memory(_context: Context) -> None:
    """Take more memory than there is."""
    eaten = [bytearray(8 << 20) for _ in range(1000)]
    write("survived", eaten=len(eaten))


COMMANDS: dict[str, Callable[[Context], object]] = {
    "hang": hang,
    "hang-in-c": hang_in_c,
    "deaf": be_deaf,
    "wait": wait_long,
    "orphan": spawn_orphan,
    "session": spawn_session,
    "inheritance": report_inheritance,
    "eat": eat_memory,
    "job": lambda context: context.entry.started(0, 42, 1),
    "spent": lambda context: setattr(context.entry, "wants_recycling", 1),
    "lose-row": lambda context: setattr(context.entry, "row_lost", 1),
    "fail": lambda _context: sys.exit(3),
    "exit-78": lambda _context: sys.exit(78),
    "vanish": lambda _context: os._exit(0),
    "raise": lambda _context: 1 // 0,
}


def start_as(kind: str) -> Callable[[Context], int]:
    """Return what a process of a kind does."""

    def start(context: Context) -> int:
        for command, status in (("crash", 1), ("refuse", 78)):
            if ordered(f"{kind}.{command}"):
                return status
        if ordered(f"{kind}.silent"):
            write("silent", kind=kind)
            hang(context)
        while ordered(f"{kind}.boots"):
            time.sleep(REST_S)
        loop = StubMonitor(kind, context) if kind == "monitor" else Stub(kind, context)
        return run(loop, context)

    return start


def specs(rows: Sequence[tuple[str, int]]) -> list[ChildSpec]:
    return [ChildSpec(kind, count, start_as(kind), f"{kind} {count}") for kind, count in rows]


def reload() -> list[ChildSpec] | None:
    """Return what the file says now; raise what it can't mean."""
    rows = json.loads(Path("specs").read_text(encoding="utf-8"))
    return None if rows is None else specs(rows)


def notify_unless_broken(notify: Callable[[str], None]) -> Callable[[str], None]:
    """Notify systemd, or be an error in the supervisor's own loop."""

    def notify_or_raise(lines: str) -> None:
        if ordered("no-notify"):
            raise RuntimeError("an error of our own")
        notify(lines)

    return notify_or_raise


def fork_unless_refused() -> int:
    """Fork, or be refused as by a system that has no process to give."""
    if ordered("no-fork"):
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
    if taken("TERM-at-fork"):
        os.kill(SUPERVISOR_PID, signal.SIGTERM)
    return FORK()


def main(wanted: dict[str, Any]) -> int:
    subscribe(write_event)
    os.fork = fork_unless_refused
    pidfile = Pidfile(Path("pid"))
    readiness = Readiness(os.environ)
    notify = notify_unless_broken(readiness.notify)
    options = SupervisorOptions(
        heartbeat_interval_s=10,
        pidfile=Path("pid"),
        hang_timeout=wanted.pop("hang_timeout_s"),
        **{name: seconds for name, seconds in wanted.items() if name.endswith("_s")},
    )
    scoreboard = Scoreboard()
    scoreboard.entries = scoreboard.entries[: wanted["entries"]]
    supervisor = Supervisor(
        specs(wanted["specs"]),
        options,
        scoreboard,
        callbacks=SupervisorCallbacks(reload, notify=notify, watchdog_s=readiness.watchdog_s),
        listeners={"monitor": socket.create_server(("127.0.0.1", 0))},
        private=[pidfile.fd],
    )
    status = supervisor.run()
    pidfile.release()
    return status


if __name__ == "__main__":
    # A storm of signals outlasts the supervisor: nothing may run after it but this.
    os._exit(main(json.loads(sys.argv[1])))
