"""Real web servers with the tree inside or beside them, and what runs of it."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from harness.tree import Tree, lives
from ports import free_port
from waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Generator

    from harness.project import Project

_BIN = Path(sys.executable).parent

COMMANDS = {
    "gunicorn": [
        "gunicorn",
        "-c",
        "python:jobsd.gunicorn",
        "-w",
        "2",
        "wsgi_app:app",
        "-b",
        "{at}",
    ],
    "gunicorn --preload": [
        *("gunicorn", "-c", "python:jobsd.gunicorn", "--preload", "-w", "2", "wsgi_app:app"),
        *("-b", "{at}"),
    ],
    "uvicorn": ["uvicorn", "asgi_app:app", "--port", "{port}"],
    "uvicorn with 4 workers": ["uvicorn", "asgi_app:app", "--port", "{port}", "--workers", "4"],
    "hypercorn": ["hypercorn", "asgi_app:app", "-b", "{at}", "-w", "2"],
}
"""By name: real servers as their manuals start them, `{at}` an address, `{port}` its port."""


def command(name: str, port: int) -> list[str]:
    """Return the command of a server; skip where it is not installed."""
    program, *words = COMMANDS[name]
    if not (_BIN / program).exists():
        pytest.skip(f"{program} is not installed")
    at = f"127.0.0.1:{port}"
    return [str(_BIN / program), *(word.format(at=at, port=port) for word in words)]


@contextlib.contextmanager
def inside(name: str, project: Project, variable: str = "1") -> Generator[Server]:
    """Run a server with the tree inside; whatever is left of them at the end is killed."""
    port = free_port()
    server = Server(command(name, port), project, port, JOBSD_IN_WEB=variable)
    try:
        yield server
    finally:
        server.end()


class Server(Tree):
    """A running web server; `trees` and `keepers` are those of its project."""

    def __init__(self, command: list[str], project: Project, port: int, **environ: str) -> None:
        super().__init__(command, project.root, {**project.environ, **environ})
        self._root, self._port = project.root, port

    def get(self) -> str:
        """Ask the application, once it listens; return its process id."""

        def ask() -> str:
            with contextlib.suppress(OSError):
                url = f"http://127.0.0.1:{self._port}/"
                with urllib.request.urlopen(url, timeout=5) as response:
                    return str(response.read().decode())
            return ""

        answer: str = wait_until(ask, 30, self.reported)
        return answer

    def supervisors(self) -> list[psutil.Process]:
        """Return the supervisors that run in the project's folder."""
        return self._running("jobsd supervisor")

    def keepers(self) -> list[psutil.Process]:
        """Return the keepers that run in the project's folder."""
        return self._running("jobsd.daemon.web_companion.in_web")

    def listeners(self) -> set[int]:
        """Return the processes that listen at the server's port."""
        found = psutil.net_connections("tcp")
        wanted = [each for each in found if each.status == psutil.CONN_LISTEN]
        at = {each.pid for each in wanted if each.laddr and each.laddr[1] == self._port}
        assert at, found
        return {pid for pid in at if pid is not None}

    def pids_of_trees(self) -> set[int]:
        """Return the processes of the trees and their keepers."""
        found: set[int] = set()
        for process in (*self.keepers(), *self.supervisors()):
            with contextlib.suppress(psutil.NoSuchProcess):
                found |= {process.pid, *(each.pid for each in process.children(recursive=True))}
        assert found
        return found

    def one_tree(self) -> psutil.Process:
        """Wait until there is one tree that is up; return its supervisor."""

        def found() -> psutil.Process | None:
            trees = self.supervisors()
            assert len(trees) <= 1, trees
            # It may end just now: then another one is waited for.
            with contextlib.suppress(psutil.NoSuchProcess):
                if trees and "processes up" in " ".join(trees[0].cmdline()):
                    return trees[0]
            return None

        supervisor: psutil.Process = wait_until(found, 30, self.reported)
        return supervisor

    def _running(self, words: str) -> list[psutil.Process]:
        found: list[psutil.Process] = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                if (
                    words in " ".join(process.cmdline())
                    and process.cwd() == str(self._root)
                    and lives(process)
                ):
                    self._seen[process.pid] = process
                    found.append(process)
        return found

    def end(self) -> None:
        """Kill the server, the keepers and the trees."""
        for process in (*self.keepers(), *self.supervisors()):
            with contextlib.suppress(psutil.Error):
                self._seen.update({each.pid: each for each in process.children(recursive=True)})
        # Workers of a killed server may go on without it.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        super().end()


def stop(server: Server) -> int:
    """Stop a server by TERM; return its exit status."""
    server.process.send_signal(signal.SIGTERM)
    return server.process.wait(60)
