"""A real PgBouncer in transaction mode before a test database."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg import conninfo

from harness.tree import ENDS_WITH_US
from ports import free_port
from waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Generator


@dataclass(slots=True)
class Pooler:
    """One PgBouncer: the URL that leads through it, and where it leads."""

    url: str
    _folder: Path
    _port: int
    _process: subprocess.Popen[bytes]

    def lead_to(self, url: str) -> None:
        """Let it lead to another server, as an operator does after a failover."""
        _configure(self._folder, conninfo.conninfo_to_dict(url), self._port)
        self._process.send_signal(signal.SIGHUP)


@contextlib.contextmanager
def pgbouncer(url: str) -> Generator[str]:
    """Run one until the end of the block; yield the URL that leads through it."""
    with pooler(url) as made:
        yield made.url


@contextlib.contextmanager
def pooler(url: str) -> Generator[Pooler]:
    """Run one until the end of the block."""
    program = shutil.which("pgbouncer", path="/usr/sbin:/usr/local/sbin:/usr/bin:/bin")
    if program is None:
        pytest.skip("PgBouncer is not installed (Debian: pgbouncer)")
    # Not below pytest's folders, which an unprivileged user can't enter.
    with tempfile.TemporaryDirectory(prefix="jobsd-pgbouncer-") as name:
        port = free_port()
        parts = conninfo.conninfo_to_dict(url)
        settings = _configure(Path(name), parts, port)
        command = [*_as_whom(str(parts.get("host", ""))), program, str(settings)]
        process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            yield Pooler(_through(url, port), Path(name), port, process)
        finally:
            process.send_signal(signal.SIGQUIT)
            process.wait(10)


def _as_whom(host: str) -> list[str]:
    """Return what ends with us, as someone else if we are root: as a socket's owner wants."""
    if os.geteuid() != 0:
        return ENDS_WITH_US
    user = Path(host).stat().st_uid if host.startswith("/") else 65534
    return ["setpriv", f"--reuid={user}", "--regid=65534", "--clear-groups", "--pdeathsig=KILL"]


def _configure(folder: Path, parts: dict[str, Any], port: int) -> Path:
    folder.chmod(0o755)
    server = " ".join(f"{k}={v}" for k, v in parts.items() if k in {"host", "port", "user"})
    # The server's own default, which the embedded one doesn't have.
    server += " connect_query='SET jit = on'"
    settings = folder / "pgbouncer.ini"
    settings.write_text(
        f"[databases]\n{parts['dbname']} = {server}\n[pgbouncer]\n"
        f"listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n"
        f"auth_type = any\nauth_file = {folder}/users.txt\npool_mode = transaction\n"
        # How long it answers for a server that it could not reach, without trying again.
        "server_login_retry = 0.2\n",
        encoding="utf-8",
    )
    users = folder / "users.txt"
    users.write_text(f'"{parts["user"]}" ""\n', encoding="utf-8")
    return settings


def _through(url: str, port: int) -> str:
    parts = conninfo.conninfo_to_dict(url)
    through = f"postgresql://{parts['user']}@127.0.0.1:{port}/{parts['dbname']}"

    def answers() -> bool:
        with contextlib.suppress(psycopg.OperationalError):
            psycopg.connect(through, connect_timeout=2).close()
            return True
        return False

    wait_until(answers, 10, "PgBouncer does not answer")
    return through
