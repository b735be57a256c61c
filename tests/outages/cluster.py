"""A PostgreSQL of a test's own that takes TCP, and that can be ill-treated in every way."""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import shutil
import signal
import subprocess
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import psutil
import psycopg

from jobsd.database.connection import Target
from jobsd.database.migrate import migrate
from jobsd.embedded import Location
from jobsd.embedded.account import Account, server_account
from jobsd.embedded.binaries import Binaries, find, usable
from kept import kept_folder
from ports import free_port
from waiting import Stopwatch, wait_until

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from pathlib import Path

ROLE = "jobsd"
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "fsync": "off",
    "shared_buffers": "16MB",
    "max_connections": "60",
    "wal_level": "replica",
    "max_wal_size": "32MB",
    "min_wal_size": "4MB",
    "timezone": "UTC",
    "wal_retrieve_retry_interval": "200ms",
}
# Nobody but this machine can ask: it listens there only, or in a network of its own.
_ACCESS = "local all all trust\nhost all all all trust\nhost replication all all trust\n"

_STUCK_S = 20.0
"""A server that is to end in order, and has not for so long, ends without."""


@dataclass(slots=True)
class Cluster:
    """One server; `prefix` is the head of a command that starts it elsewhere.

    `environ` are more variables, for the server alone.
    """

    folder: Path
    account: Account
    programs: Binaries
    prefix: Sequence[str] = ()
    settings: dict[str, str] = field(default_factory=dict[str, str])
    environ: dict[str, str] = field(default_factory=dict[str, str])
    port: int = field(default_factory=free_port)
    host: str = "127.0.0.1"
    _process: subprocess.Popen[bytes] | None = None
    _frozen: list[psutil.Process] = field(default_factory=list[psutil.Process])

    @property
    def data(self) -> Path:
        """PostgreSQL's own directory."""
        return self.folder / "data"

    @property
    def url(self) -> str:
        """The URL by TCP."""
        return f"postgresql://{ROLE}@{self.host}:{self.port}/postgres"

    @property
    def socket_url(self) -> str:
        """The URL by the socket, which no network keeps us from."""
        return f"postgresql://{ROLE}@/postgres?host={self.folder}&port={self.port}"

    def program(self, name: str) -> str:
        """Return the path of one of PostgreSQL's programs."""
        return str(self.programs.program(name))

    def make(self) -> None:
        """Make the cluster, from a blank one: making that takes a second, a copy a tenth."""
        self._run("cp", "-a", _blank() / "data", self.data)

    def make_blank(self) -> None:
        """Make the cluster from nothing."""
        chosen = ("-U", ROLE, "-A", "trust", "--no-sync", "--wal-segsize=1")
        text = ("--encoding=UTF8", "--locale=C.UTF-8")
        self._run(self.program("initdb"), *chosen, *text, "-D", self.data)
        (self.data / "pg_hba.conf").write_text(_ACCESS)

    def copy(self, primary: Cluster) -> None:
        """Make it a standby of another one that runs."""
        source = ("-h", primary.host, "-p", str(primary.port), "-U", ROLE)
        basebackup = self.program("pg_basebackup")
        self._run(basebackup, *source, "-D", self.data, "-R", "-c", "fast", "--no-sync")

    def start(self, *, answers: bool = True, **settings: str) -> None:
        """Start it, unless it runs; by default wait until it takes connections."""
        if self.runs:
            return
        chosen = {**_SETTINGS, **self.settings, **settings, "port": str(self.port)}
        chosen["unix_socket_directories"] = str(self.folder)
        flags = [f"--{name}={value}" for name, value in chosen.items()]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *self.prefix,
                    *self._become(),
                    "env",
                    *(f"{name}={value}" for name, value in self.environ.items()),
                    self.program("postgres"),
                    "-D",
                    self.data,
                    *flags,
                ],
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        if answers:
            wait_until(self.answers, what="the database answers")

    def start_with_tables(self) -> Target:
        """Start it, and make our tables."""
        self.start()
        target = Target(self.url)
        migrate(target)
        return target

    def answers(self, url: str = "", *, writes: bool = True) -> bool:
        """Return whether it takes a connection, and may be written to."""
        with contextlib.suppress(psycopg.Error), self.connect(url) as connection:
            return connection.execute("SELECT pg_is_in_recovery()").fetchone() == (not writes,)
        return False

    def connect(self, url: str = "") -> psycopg.Connection[tuple[object, ...]]:
        """Connect by the socket."""
        chosen = url or self.socket_url
        return psycopg.connect(
            chosen, autocommit=True, connect_timeout=2, application_name="test"
        )

    def stop(self, number: signal.Signals = signal.SIGINT) -> None:
        """End it: in order (INT), without saying goodbye (QUIT), or by killing all of it."""
        self.thaw()
        if self._process is None:
            return
        processes = self._processes()
        if number == signal.SIGKILL:
            for each in processes:
                each.kill()
        elif self._process.poll() is None:
            processes[0].send_signal(number)
        try:
            self._process.wait(_STUCK_S)
        except subprocess.TimeoutExpired:
            # In the first moments of a recovery, PostgreSQL 18 may wait for ever: see `end` of
            # the embedded server.
            processes[0].send_signal(signal.SIGQUIT)
            self._process.wait(30)
        psutil.wait_procs(processes, 10)
        self._process = None

    @property
    def runs(self) -> bool:
        """Whether there is a server."""
        return self._process is not None and self._process.poll() is None

    def freeze(self) -> None:
        """Stop everything: the kernel takes connections, and nobody answers."""
        self._frozen = self._processes()
        for each in self._frozen:
            each.suspend()

    def thaw(self) -> None:
        """Let it go on."""
        frozen, self._frozen = self._frozen, []
        for each in frozen:
            with contextlib.suppress(psutil.NoSuchProcess):
                each.resume()

    def promote(self) -> None:
        """Make a standby the primary, and wait until it is."""
        self._run(self.program("pg_ctl"), "promote", "-D", self.data)

    def reported(self) -> str:
        """Return the end of its log."""
        return "\n".join((self.folder / "log").read_text(errors="replace").splitlines()[-10:])

    def _processes(self) -> list[psutil.Process]:
        """Return the postmaster, and then its children."""
        if self._process is None or self._process.poll() is not None:
            return []
        postmaster = psutil.Process(self._process.pid)
        return [postmaster, *postmaster.children()]

    def _run(self, program: str, *arguments: str | Path) -> None:
        done = subprocess.run(
            [*self.prefix, *self._become(), program, *arguments],
            cwd="/",
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr

    def _become(self) -> list[str]:
        """Return how to become the server's user, and to end with this test run."""
        user = (f"--reuid={self.account.uid}", f"--regid={self.account.gid}", "--clear-groups")
        return ["setpriv", *(user if self.account.identity else ()), "--pdeathsig=INT", "--"]


@contextlib.contextmanager
def cluster(prefix: Sequence[str] = (), **settings: str) -> Generator[Cluster]:
    """A cluster that is made, and neither runs nor is there after the block."""
    with place(prefix, **settings) as made:
        made.make()
        yield made


@contextlib.contextmanager
def place(prefix: Sequence[str] = (), **settings: str) -> Generator[Cluster]:
    """A place for a cluster."""
    folder = kept_folder("jobsd-pg-")
    location = Location(folder, "test")
    account = server_account(location, os.environ)
    os.chown(folder, account.uid, account.gid)
    programs = usable(find(location, os.environ), account, location, os.environ)
    made = Cluster(folder, account, programs, prefix, settings)
    try:
        yield made
    finally:
        made.stop(signal.SIGQUIT)
        shutil.rmtree(folder)


@functools.cache
def _blank() -> Path:
    """Return the folder of a cluster that never ran, gone with this test run."""
    stack = contextlib.ExitStack()
    atexit.register(stack.close)
    blank = stack.enter_context(place())
    blank.make_blank()
    return blank.folder


def returned(made: Cluster, url: str, within_s: float = 20.0) -> Stopwatch:
    """Wait until the database is there again for its clients; return since when."""
    wait_until(lambda: made.answers(url), within_s, made.reported)
    return Stopwatch()
