"""Drives one peer: enqueues with it, lets its workers run, and counts what its jobs have noted.

Each job appends 16 bytes to a file: its number, and when it began (seconds since the epoch).
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import struct
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from psycopg import conninfo

from benchmarks.meter import Meter, children, threads_cpu_s
from benchmarks.tree import pss_mib
from jobsd.clock import monotonic

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from benchmarks.server import Database, Server

    from .catalog import Peer
    from .environments import Environment

LAYOUTS = ((1, 1), (1, 3), (2, 5))
COROUTINES = 500
SLEEPS_S = {"coroutines_noop_per_s": 0.0, "coroutines_sleep_per_s": 0.02}
"""How long each coroutine waits, of which so many run at once."""
_STAMP = struct.Struct("<dd")
_PATIENCE_S = 120.0
_STOP_S = 15.0
_POLL_S = 0.01
_BOOT_S, _SMALL_BOOT_S = 5.0, 1.5
SMALL = 0.1
"""Below this scale a run only shows that everything works: one layout, little rest."""
_BULK, _BATCH, _ONE, _SPACED, _IDLE_S = 50_000, 1_000, 2_000, 1_000, 60.0


class PeerError(Exception):
    """A peer did not do what it was asked to; says its last words."""


@dataclass(slots=True)
class Running:
    """A peer on a database (or broker) of its own."""

    peer: Peer
    environment: Environment
    server: Server
    database: Database
    folder: Path
    variables: dict[str, str]
    _programs: list[subprocess.Popen[bytes]] = field(
        default_factory=list["subprocess.Popen[bytes]"]
    )

    def ask(self, *words: object) -> dict[str, Any]:
        """Let the adapter do one thing, and return the figures that it prints."""
        done = subprocess.run(
            [*self.environment.command, *map(str, words)],
            check=False,
            capture_output=True,
            text=True,
            env=self.variables,
            cwd=self.folder,
            timeout=_PATIENCE_S,
        )
        if done.returncode:
            raise PeerError(
                f"{self.peer.name} {words[0]}: {reason(done.stderr or done.stdout)}"
            )
        lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
        answer: dict[str, Any] = json.loads(lines[-1]) if lines else {}
        return answer

    @contextlib.contextmanager
    def working(self, processes: int, threads: int) -> Generator[None]:
        """Have its workers run for the length of the block."""
        programs, each = (1, processes) if self.peer.forks else (processes, 1)
        with (self.folder / "worker.log").open("ab") as log:
            self._programs = [
                subprocess.Popen(
                    [*self.environment.command, "work", str(each), str(threads)],
                    env=self.variables,
                    cwd=self.folder,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
                for _ in range(programs)
            ]
        try:
            yield
        finally:
            self._stop()

    def pids(self) -> list[int]:
        """Return the processes of its workers."""
        return [pid for program in self._programs for pid in _tree(program.pid)]

    def await_stamps(self, count: int) -> list[tuple[float, float]]:
        """Wait until so many jobs have begun; return their numbers and times."""
        end = monotonic() + _PATIENCE_S
        while (there := self._noted()) < count:
            if monotonic() > end or any(each.poll() is not None for each in self._programs):
                raise PeerError(
                    f"{self.peer.name}: {there} of {count} jobs began: {self._last()}"
                )
            time.sleep(_POLL_S)
        return self.stamps()

    def await_recorded(self) -> float:
        """Wait until its tables have no job left that has not ended; return when."""
        end = monotonic() + _PATIENCE_S
        with self.database.connect() as connection:
            while connection.execute(self.peer.waiting.encode()).fetchone() != (0,):
                if monotonic() > end:
                    raise PeerError(f"{self.peer.name}: its tables still have jobs")
                time.sleep(_POLL_S)
        return time.time()

    def stamps(self) -> list[tuple[float, float]]:
        """Return what its jobs have noted, in order of time; the warm-up job left out."""
        noted = self._file.read_bytes() if self._file.exists() else b""
        whole = noted[: len(noted) - len(noted) % _STAMP.size]
        return sorted(
            ((n, at) for n, at in _STAMP.iter_unpack(whole) if n >= 0), key=lambda each: each[1]
        )

    @property
    def _file(self) -> Path:
        return Path(self.variables["PEER_STAMPS"])

    def _noted(self) -> int:
        return self._file.stat().st_size // _STAMP.size if self._file.exists() else 0

    def _last(self) -> str:
        log = self.folder / "worker.log"
        return reason(log.read_text("utf-8", "replace") if log.exists() else "")

    def _stop(self) -> None:
        """End its workers in order, and after a while for good: only what we have started."""
        everybody = self.pids()
        for program in self._programs:
            if program.poll() is None:
                program.send_signal(signal.SIGTERM)
        end = monotonic() + _STOP_S
        for program in self._programs:
            with contextlib.suppress(subprocess.TimeoutExpired):
                program.wait(max(0.1, end - monotonic()))
        for pid in everybody:
            with contextlib.suppress(ProcessLookupError):
                # Its session is the one that we made: the number was not given out again.
                if os.getsid(pid) in {program.pid for program in self._programs}:
                    os.kill(pid, signal.SIGKILL)
        for program in self._programs:
            program.wait()


@contextlib.contextmanager
def running(
    peer: Peer, environment: Environment, server: Server, sleep_s: float | None = None
) -> Generator[Running]:
    """Have a peer with its tables made and nothing in them.

    Its jobs are coroutines that wait for `sleep_s`, where that is given.
    """
    with contextlib.ExitStack() as stack:
        database = stack.enter_context(server.database())
        # Peers run with our own user: whoever may read this folder may read their log.
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="jobsd-peer-")))
        variables = {
            **os.environ,
            **environment.variables,
            "DATABASE_URL": database_url(database.url),
            "PEER_STAMPS": str(folder / "stamps"),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        if sleep_s is not None:
            variables["PEER_SLEEP_S"] = str(sleep_s)
        if peer.redis:
            variables["REDIS_URL"] = stack.enter_context(_redis(folder))
        one = Running(peer, environment, server, database, folder, variables)
        one.ask("setup")
        yield one


def drain(one: Running, jobs: int, processes: int, threads: int) -> float:
    """Run jobs that wait: jobs/s from the first start until all are recorded as done."""
    one.ask("bulk" if one.peer.bulk else "enqueue", jobs)
    one.database.settle()
    with one.working(processes, threads):
        expected = jobs if one.peer.bulk else jobs + 1
        stamps = one.await_stamps(expected)
        ended = one.await_recorded() if one.peer.waiting else stamps[-1][1]
    return len(stamps) / (ended - stamps[0][1])


def enqueue(one: Running, scale: float) -> float:
    """Enqueue one at a time, each committed: jobs/s."""
    count = max(20, int(_ONE * scale))
    seconds: float = one.ask("enqueue", count)["seconds"]
    return count / seconds


def bulk(one: Running, scale: float) -> float:
    """Enqueue by 1,000, as often at every scale: jobs/s. The first call is not measured."""
    many = _BULK if scale >= SMALL else _BATCH
    seconds: float = one.ask("bulk", _BATCH + many)["seconds"]
    return many / seconds


def starts(one: Running, scale: float) -> list[float]:
    """Enqueue one job after the other at rest: ms from the enqueue's return to the start.

    There are as many at every scale, since a percentile of few says little.
    """
    count = _SPACED if scale >= SMALL else 10
    with one.working(1, 3):
        time.sleep(_boot_s(scale))
        returned = one.ask("spaced", count, one.peer.gap_s)["returned"]
        one.await_stamps(count)
        begun = {int(number): at for number, at in one.stamps()}
    return [(begun[number] - returned[number]) * 1e3 for number in range(count)]


def idle(one: Running, scale: float) -> dict[str, float]:
    """Let its workers rest: processor time and statements a minute, memory in MiB (PSS)."""
    seconds = max(1.0, _IDLE_S * scale)
    with one.working(1, 3):
        time.sleep(2 * _boot_s(scale))
        meter, before, began = Meter(one.server, one.database.name), _cpu_s(one), monotonic()
        time.sleep(seconds)
        used, total = _cpu_s(one) - before, meter.read_at_work()
        minutes = (monotonic() - began) / 60
        memory = sum(map(pss_mib, one.pids()))
    found = {"idle_cpu_s_per_min": used / minutes, "memory_mib": memory}
    if total.statements is not None and not one.peer.redis:
        found["idle_statements_per_min"] = total.statements / minutes
    return found


def reason(said: str) -> str:
    """Return the line that names what was wrong: the last one that speaks of an error.

    Ruby's trace has it at the top, above the calls, each of which is a line of "from".
    """
    lines = said.strip().splitlines() or ["it said nothing"]
    errors = [line for line in lines if "error" in line.lower() and "\tfrom " not in line]
    return (errors or lines)[-1].strip()[:300]


def _boot_s(scale: float) -> float:
    """Return how long workers may take until they rest."""
    return _SMALL_BOOT_S if scale < SMALL else _BOOT_S


def _cpu_s(one: Running) -> float:
    return sum(map(threads_cpu_s, one.pids()))


def _tree(pid: int) -> Iterator[int]:
    yield pid
    for child in children(pid):
        yield from _tree(child)


def database_url(database: str) -> str:
    """Write a database's name as a URL that every driver reads, with a socket's folder too."""
    parts = conninfo.conninfo_to_dict(database)
    user = quote(str(parts.get("user", "")), safe="")
    secret = f":{quote(str(parts['password']), safe='')}" if parts.get("password") else ""
    host, name = str(parts.get("host", "localhost")), quote(str(parts["dbname"]), safe="")
    # A socket's folder in the place of a host: the one form that all of them know.
    port = "" if host.startswith("/") else f":{parts.get('port', 5432)}"
    return f"postgresql://{user}{secret}@{quote(host, safe='')}{port}/{name}"


@contextlib.contextmanager
def _redis(folder: Path) -> Generator[str]:
    """Have a Redis of our own that keeps what it is given, on loopback."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    words = [
        "--bind",
        "127.0.0.1",
        "--port",
        str(port),
        "--dir",
        str(folder),
        "--appendonly",
        "yes",
    ]
    with subprocess.Popen(
        ["redis-server", *words, "--save", ""],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as broker:
        try:
            _await_port(port)
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            broker.terminate()


def _await_port(port: int) -> None:
    end = monotonic() + _STOP_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            if monotonic() > end:
                raise
            time.sleep(_POLL_S)
        else:
            return
