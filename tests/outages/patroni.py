"""A Patroni of a test's own: an etcd, two members, and a PgBouncer that is led to the primary.

All of it is Debian's, and on this machine's loopback. A member is a host as far as a test can
tell: its Patroni and its server, which can be killed alone or together.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import subprocess
import threading
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

import psutil
import psycopg
import pytest

from database.pgbouncer import pooler
from harness.tree import ENDS_WITH_US
from kept import kept_folder
from outages.cluster import ROLE, Cluster, place
from ports import free_port
from waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Generator

_CLEAN = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
_DCS = {"ttl": 20, "loop_wait": 1, "retry_timeout": 3, "primary_start_timeout": 0}
"""The shortest that Patroni takes; and a server that dies is not waited for."""
_PARAMETERS = {
    "fsync": "off",
    "shared_buffers": "16MB",
    "max_wal_size": "64MB",
    "timezone": "UTC",
    "wal_retrieve_retry_interval": "200ms",
}
_STREAMS = "SELECT FROM pg_stat_replication WHERE application_name = %s AND state = 'streaming'"
START_S = 90.0


class Member:
    """One host of the cluster: a Patroni, and the server that it looks after."""

    def __init__(
        self, name: str, server: Cluster, etcd_port: int, *, synchronous: bool
    ) -> None:
        self.name = name
        self.server = server
        self._api = f"127.0.0.1:{free_port()}"
        self._process: subprocess.Popen[bytes] | None = None
        # A server that has died has written what its successor lacks: it is rewound, since as
        # it is it could never follow, and would wait for ever.
        dcs = {**_DCS, "synchronous_mode": synchronous, "postgresql": {"use_pg_rewind": True}}
        address = f"127.0.0.1:{server.port}"
        own = {**_PARAMETERS, "unix_socket_directories": str(server.folder)}
        settings = {
            "scope": "jobsd",
            "name": name,
            "restapi": {"listen": self._api, "connect_address": self._api},
            "etcd3": {"hosts": [f"127.0.0.1:{etcd_port}"]},
            "bootstrap": {
                "dcs": dcs,
                "initdb": [
                    *({"encoding": "UTF8"}, {"locale": "C.UTF-8"}),
                    *("no-sync", "data-checksums"),
                ],
            },
            "postgresql": {
                "listen": address,
                "connect_address": address,
                "data_dir": str(server.data),
                "bin_dir": str(server.programs.directory),
                "pgpass": str(server.folder / "pgpass"),
                "basebackup": [{"checkpoint": "fast"}, "no-sync"],
                "authentication": {
                    who: {"username": ROLE} for who in ("superuser", "replication")
                },
                "parameters": own,
                "pg_hba": [f"{kind} trust" for kind in _ACCESS],
                "remove_data_directory_on_rewind_failure": True,
                "remove_data_directory_on_diverging_timelines": True,
            },
            "watchdog": {"mode": "off"},
        }
        # What Patroni reads is YAML, of which this is a part.
        self._settings = server.folder / "patroni.yml"
        self._settings.write_text(json.dumps(settings), encoding="utf-8")

    def start(self) -> None:
        """Start its Patroni, which starts its server."""
        account = self.server.account
        user = (f"--reuid={account.uid}", f"--regid={account.gid}", "--clear-groups")
        become = ["setpriv", *(user if account.identity else ()), "--pdeathsig=KILL", "--"]
        with (self.server.folder / "patroni.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*become, "/usr/bin/patroni", str(self._settings)],
                cwd=self.server.folder,
                env=_CLEAN,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def crash(self) -> None:
        """Let its server die, all at once; its Patroni lives."""
        for each in self._servers():
            # With the first one gone, the others end by themselves.
            with contextlib.suppress(psutil.NoSuchProcess):
                each.kill()

    def be_replaced(self) -> None:
        """Come again with an empty disk after a death."""
        shutil.rmtree(self.server.data)
        self.start()

    def die(self) -> None:
        """Let the whole host die."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None
        servers = self._servers()
        self.crash()
        psutil.wait_procs(servers, 10)

    @contextlib.contextmanager
    def behind(self) -> Generator[None]:
        """Keep from a standby what the primary writes; after the block it never gets it."""
        receiver = wait_until(self._receiver, START_S, self.reported)
        receiver.suspend()
        try:
            yield
        finally:
            # It hears this before it reads what has come meanwhile.
            receiver.send_signal(signal.SIGTERM)
            receiver.resume()

    def has_part(self, part: str) -> bool:
        """Ask it, as a load balancer does, whether it is the "primary", a "replica", "sync"."""
        with contextlib.suppress(OSError):
            asked = urllib.request.urlopen(f"http://{self._api}/{part}", timeout=5)
            with contextlib.closing(asked):
                return bool(asked.status == 200)
        return False

    def streams_to(self, standby: Member) -> bool:
        """Return whether the other follows this one: a "replica" may wait for it in vain."""
        with (
            contextlib.suppress(psycopg.Error),
            psycopg.connect(_one(self, "postgres")) as asked,
        ):
            return bool(asked.execute(_STREAMS, (standby.name,)).fetchall())
        return False

    def switch_over(self, to: Member) -> bool:
        """Do what `patronictl switchover` does; return whether it could be done."""
        asked = urllib.request.Request(
            f"http://{self._api}/switchover",
            json.dumps({"leader": self.name, "candidate": to.name}).encode(),
            {"Content-Type": "application/json"},
        )
        with contextlib.suppress(urllib.error.HTTPError):
            urllib.request.urlopen(asked, timeout=60).close()  # noqa: S310 - it is http
            return True
        return False

    def reported(self) -> str:
        """Return the end of its log."""
        log = (self.server.folder / "patroni.log").read_text(errors="replace")
        return "\n".join(log.splitlines()[-10:])

    def _receiver(self) -> psutil.Process | None:
        servers = [
            each for each in self._servers() if "walreceiver" in " ".join(each.cmdline())
        ]
        return next(iter(servers), None)

    def _servers(self) -> list[psutil.Process]:
        with contextlib.suppress(OSError, ValueError, psutil.NoSuchProcess):
            pid = int((self.server.data / "postmaster.pid").read_text().splitlines()[0])
            postmaster = psutil.Process(pid)
            return [postmaster, *postmaster.children()]
        return []


_ACCESS = ("local all all", "host all all all", "host replication all all")


class Patroni:
    """The cluster."""

    def __init__(self, members: tuple[Member, Member], *, synchronous: bool) -> None:
        self.members = members
        self.failovers: list[tuple[float, float]] = []
        """From when the old primary may have written what the new one lacks, and until when."""
        self._standby_is = "sync" if synchronous else "replica"

    def url(self, database: str) -> str:
        """The URL that names both hosts."""
        hosts = ",".join(f"127.0.0.1:{each.server.port}" for each in self.members)
        return f"postgresql://{ROLE}@{hosts}/{database}?target_session_attrs=read-write"

    def primary(self) -> Member | None:
        """Return the member that is the primary, if one is."""
        return next((each for each in self.members if each.has_part("primary")), None)

    def whole(self) -> tuple[Member, Member]:
        """Wait until there are a primary and a standby that streams; return them."""
        return wait_until(self._both, START_S, self.reported)  # type: ignore[no-any-return]

    def reported(self) -> str:
        """Return the ends of the logs."""
        return "\n\n".join(each.reported() for each in self.members)

    def make_database(self, name: str) -> None:
        """Make a database, and a table for plain clients."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        with psycopg.connect(self.url(name), autocommit=True) as connection:
            connection.execute("CREATE TABLE writes (at timestamptz DEFAULT now())")

    @contextlib.contextmanager
    def pooled(self, database: str) -> Generator[str]:
        """Run a PgBouncer that is led to the primary, as by HAProxy, confd or a callback."""
        over = threading.Event()
        primary = self.whole()[0]
        with pooler(_one(primary, database)) as made:

            def lead() -> None:
                leads_to = primary
                while not over.wait(0.2):
                    found = self.primary() or leads_to
                    if found is not leads_to:
                        leads_to = found
                        made.lead_to(_one(leads_to, database))

            thread = threading.Thread(target=lead, name="lead", daemon=True)
            thread.start()
            try:
                yield made.url
            finally:
                over.set()
                thread.join(15)

    def _both(self) -> tuple[Member, Member] | None:
        one, other = self.members
        for primary, standby in ((one, other), (other, one)):
            parts = primary.has_part("primary") and standby.has_part(self._standby_is)
            if parts and primary.streams_to(standby):
                return primary, standby
        return None


def _one(member: Member, database: str) -> str:
    return f"postgresql://{ROLE}@127.0.0.1:{member.server.port}/{database}"


@contextlib.contextmanager
def patroni(*, synchronous: bool) -> Generator[Patroni]:
    """Two members that replicate, and nothing of them after the block."""
    missing = [tool for tool in ("/usr/bin/patroni", "etcd") if shutil.which(tool) is None]
    if missing:
        pytest.skip("needs Debian's patroni, python3-etcd and etcd-server")
    with contextlib.ExitStack() as stack:
        port = stack.enter_context(_etcd())
        servers = [stack.enter_context(place()) for _ in range(2)]
        one, other = (
            Member(name, server, port, synchronous=synchronous)
            for name, server in zip(("one", "other"), servers, strict=True)
        )
        made = Patroni((one, other), synchronous=synchronous)
        for member in made.members:
            stack.callback(member.die)
        one.start()
        wait_until(lambda: one.has_part("primary"), START_S, one.reported)
        other.start()
        made.whole()
        yield made


@contextlib.contextmanager
def _etcd() -> Generator[int]:
    folder, port = kept_folder("jobsd-etcd-"), free_port()
    client, peer = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{free_port()}"
    process = subprocess.Popen(
        [
            *(*ENDS_WITH_US, "etcd", "--data-dir", str(folder / "data"), "--unsafe-no-fsync"),
            *("--listen-client-urls", client, "--advertise-client-urls", client),
            *("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer),
            *("--initial-cluster", f"default={peer}", "--log-level", "error"),
        ],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield port
    finally:
        process.kill()
        process.wait(10)
        shutil.rmtree(folder, ignore_errors=True)
