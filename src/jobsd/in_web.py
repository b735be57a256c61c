"""Runs the daemon's tree inside a web server: one tree per host and project.

The tree is a child of a *keeper*, a process of its own that belongs to one web server: it
starts the tree when no other web server's keeper of this project runs one, starts it again when
it crashes, and ends it with the web server. So the order, number and replacements of the web
server's processes do not matter.

The keeper is no child of the web server's processes, since some servers reap children that they
do not know and take their exit status for a worker's. It listens on a Unix socket in the
abstract namespace, named after the web server's process.
"""

import contextlib
import hashlib
import logging
import multiprocessing
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Generator, Mapping

from jobsd.errors import Error
from jobsd.machine import process_stat
from jobsd.text import is_on

VARIABLE = "JOBSD_IN_WEB"
_OF_TREE = "tree"
"""Its value in the processes of a tree that a web server has started."""
_STARTED_WITHIN_S = 30.0

_watched: set[int] = set()
_warned: set[int] = set()


class InWebError(Error):
    """The process that keeps the tree could not be started."""


def is_enabled() -> bool:
    """Return whether the variable JOBSD_IN_WEB asks for a tree inside the web server.

    Raises:
        InWebError: it is neither true nor false.
    """
    given = os.environ.get(VARIABLE, "")
    try:
        return given != _OF_TREE and is_on(given)
    except ValueError as error:
        raise InWebError(f"{VARIABLE}={given!r} {error}") from None


def host_pid() -> int:
    """Return the process id of the web server that this process belongs to.

    That is the first process of the server: a worker's parent, as far as the worker was started
    by multiprocessing (uvicorn, hypercorn, granian), by gunicorn or by Django's autoreload.
    """
    parent = multiprocessing.parent_process()
    if parent is not None and parent.pid is not None:
        return parent.pid
    of_gunicorn = "gunicorn.arbiter" in sys.modules
    of_runserver = os.environ.get("RUN_MAIN") == "true"
    return os.getppid() if of_gunicorn or of_runserver else os.getpid()


def start(host: int, environ: Mapping[str, str] | None = None) -> None:
    """Start the keeper of the web server `host`, unless it has one. That takes about 0.2 s.

    The tree gets `environ`, by default the environment of this process. If the keeper is killed
    while it starts, or takes too long, its watchers (`keep`) start it again: the web server
    runs without a tree for a second instead of ending with it.

    Raises:
        InWebError: it could not be started; its reason is on stderr.
    """
    if _is_kept(host):
        return
    command = [sys.executable, "-P", "-m", "jobsd.daemon.web_companion.in_web", str(host)]
    # It forks and ends at once, with the status 0 for any process that reaps it.
    with contextlib.suppress(ChildProcessError, subprocess.TimeoutExpired):
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            check=False,
            timeout=_STARTED_WITHIN_S,
            env=environ,
        )
        if done.returncode > 0:
            raise InWebError(f"the tree can't be started in this web server ({VARIABLE}=1)")


def keep(host: int, environ: Mapping[str, str] | None = None, *, renewed: bool = False) -> None:
    """Start the keeper, and again whenever it has ended while this process lives.

    For processes that fork no others: a thread waits for the keeper's end. `renewed` means that
    this process has just loaded the application: if its files differ from those of the running
    tree, the tree is reloaded.
    """
    if os.getpid() in _watched:
        return
    _watched.add(os.getpid())
    start(host, environ)
    if renewed:
        _send(host, b"renewed\n")
    watched = host, environ
    thread = threading.Thread(target=_watch, args=watched, name="jobsd in web", daemon=True)
    thread.start()


def warn_unless_kept(*_sender: object, **_facts: object) -> None:
    """Log once in a process that answers requests that no hook or lifespan has started a tree.

    A receiver of the signals by which frameworks announce a request.
    """
    if not is_enabled() or os.getpid() in _watched | _warned:
        return
    _warned.add(os.getpid())
    # Made now: a configuration of the log that came later would have disabled it.
    logging.getLogger("jobsd.in_web").warning(
        "%s=%s starts no daemon here: this web server runs neither the hooks of jobsd.gunicorn"
        " nor the lifespan of jobsd.asgi; start it by `bin/jobs with -- COMMAND`",
        VARIABLE,
        os.environ[VARIABLE],
    )


def stop(host: int) -> None:
    """Stop the tree in order, and wait for its end; at once when there is none.

    To be called by the first process of the server, when it ends.
    """
    with contextlib.suppress(OSError), _connect(host) as connection:
        connection.sendall(b"stop\n")
        # The keeper sends the number of seconds within which the tree will have ended.
        connection.settimeout(5)
        connection.settimeout(float(connection.recv(32) or b"0") + 5)
        while connection.recv(32):
            pass


def reload(host: int) -> None:
    """Make the tree read its configuration and modules again."""
    _send(host, b"reload\n")


def leave(host: int) -> None:
    """Report that this process of the server ends in order.

    If the server ends within half a minute, that is an orderly end, and the tree is drained.
    """
    _send(host, b"leave\n")


def address(host: int) -> str:
    """Return the name of the socket of a web server's keeper."""
    found = process_stat(host)
    words = f"{os.readlink('/proc/self/ns/pid')} {host} {found.started if found else ''}"  # noqa: PTH115
    name = hashlib.blake2s(words.encode(), digest_size=12).hexdigest()
    return f"\0jobsd/in-web/{name}"


def _is_kept(host: int) -> bool:
    """Return whether the web server has a keeper."""
    with contextlib.suppress(OSError), _connect(host):
        return True
    return False


def _send(host: int, words: bytes) -> None:
    with contextlib.suppress(OSError), _connect(host) as connection:
        connection.sendall(words)


@contextlib.contextmanager
def _connect(host: int) -> Generator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(5)
        connection.connect(address(host))
        yield connection


def _watch(host: int, environ: Mapping[str, str] | None) -> None:
    """Wait for the keeper's end, and start another one, for ever."""
    pause = threading.Event()
    while True:
        with contextlib.suppress(OSError), _connect(host) as connection:
            connection.settimeout(None)
            connection.recv(32)
        if process_stat(host) is None:
            return
        pause.wait(1.0)
        with contextlib.suppress(InWebError, OSError):
            start(host, environ)
