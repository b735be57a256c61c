"""A room like a container's: its own root, processes, network, host name; no engine for it.

What a platform starts runs in it as process 1, with nothing of this machine but its programs
and the folders that are given: as with a container, a second command is run beside it, and its
end is a SIGTERM, with SIGKILL behind it. Needs root and an overlay.

The clone is given as well, for reading, where the room would not have it: below the folder for
temporary files, or on a file system of its own.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from layout.house import ROOT
from waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

_SPACES = ("--mount", "--pid", "--uts", "--ipc", "--net")
# What is mounted here is gone with the namespace. The folders are those of the arguments.
_BUILD = """
hostname room
mount -t tmpfs room "$1"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay room -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$1/root"
mount -t proc proc "$1/root/proc"
mount -t tmpfs room "$1/root/tmp"
mkdir "$1/root/app"
mount --bind "$2" "$1/root/app"
if [ ! -e "$1/root$3" ]; then
    mkdir -p "$1/root$3"
    mount --bind "$3" "$1/root$3"
    mount -o remount,bind,ro "$1/root$3"
fi
if [ -n "$4" ]; then mkdir -p "$1/root$4"; mount --bind "$4" "$1/root$4"; fi
exec chroot "$1/root" sh -c "cd /app && exec $5"
"""


def why_not() -> str:
    """Return why no room can be made here, or nothing."""
    if os.geteuid() != 0:
        return "a room takes root"
    if missing := [name for name in ("unshare", "nsenter") if not shutil.which(name)]:
        return f"{', '.join(missing)} is not installed"
    with tempfile.TemporaryDirectory() as folder:
        tried = subprocess.run(
            _words(Path(folder), Path(folder), "", "true", ROOT),
            capture_output=True,
            text=True,
            check=False,
        )
    return f"no namespaces or no overlay: {tried.stderr.strip()}" if tried.returncode else ""


def _words(room: Path, app: Path, socket: str, command: str, clone: Path) -> list[str]:
    wrap = ["unshare", *_SPACES, "--fork", "--kill-child=KILL"]
    given = [str(room), str(app), str(clone), socket, command]
    return [*wrap, "sh", "-euc", _BUILD, "sh", *given]


class Room:
    """One that runs a command of a project, which lies in /app, to its end."""

    def __init__(self, words: list[str], environ: Mapping[str, str], printed: Path) -> None:
        self._environ = dict(environ)
        self._printed = printed
        with printed.open("wb") as file:
            self._unshare = subprocess.Popen(
                words, env=self._environ, stdin=subprocess.DEVNULL, stdout=file, stderr=file
            )

    @property
    def printed(self) -> str:
        """What its process has printed so far."""
        return self._printed.read_text(encoding="utf-8")

    def enter(self, command: str) -> subprocess.CompletedProcess[str]:
        """Run a second command beside the first, to its end."""
        first = self._first()
        # Its root is not that of its mounts.
        words = ["nsenter", "--target", str(first), *_SPACES, f"--root=/proc/{first}/root"]
        return subprocess.run(
            [*words, "--wdns=/", "sh", "-c", f"cd /app && exec {command}"],
            env=self._environ,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            stdin=subprocess.DEVNULL,
        )

    def wait(self, within_s: float = 120.0) -> int:
        """Return how the command has ended."""
        return self._unshare.wait(within_s)

    def stop(self, within_s: float) -> int:
        """End it as an engine does, and return how it has ended.

        Raises:
            subprocess.TimeoutExpired: where an engine would kill it.
        """
        os.kill(self._first(), signal.SIGTERM)
        return self._unshare.wait(within_s)

    def end(self) -> None:
        """Kill what is left of it."""
        self._unshare.kill()
        self._unshare.wait(10)

    def _first(self) -> int:
        """Return the process that is number 1 in there, once it is what it is to be."""
        children = Path(f"/proc/{self._unshare.pid}/task/{self._unshare.pid}/children")

        def first() -> int:
            assert self._unshare.poll() is None, self.printed
            found = children.read_text("ascii").split()
            return int(found[0]) if found and _is_in(int(found[0])) else 0

        return int(wait_until(first, 60))


def _is_in(process: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{process}/root").readlink() != Path("/")
    return False


@contextlib.contextmanager
def room(
    command: str,
    app: Path,
    environ: Mapping[str, str],
    socket: str = "",
    clone: Path = ROOT,
) -> Generator[Room]:
    """Run a command in a room; it and the room are gone with the block."""
    with tempfile.TemporaryDirectory(prefix="jobsd-room-") as folder:
        place = Path(folder, "room")
        place.mkdir()
        made = Room(
            _words(place, app, socket, command, clone), environ, Path(folder, "printed")
        )
        try:
            yield made
        finally:
            made.end()
