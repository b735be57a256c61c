"""Folders that are gone with this test run, and with them what runs there, however it ends.

A run that is killed tidies nothing up. What it has started ends with it (`ENDS_WITH_US`), but
an embedded server is nobody's child, and who was stopped by a test hears of no end. So this
file runs as a program, too, beside each process of pytest: it is told of the folders, and
sweeps them when that process has gone.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENCE_S = 5.0
"""For a server that is told to end; a SIGKILL would leave its shared memory behind."""


_made: list[Path] = []


def folders() -> list[Path]:
    """Return the folders that this process has made: what works there is ours."""
    return _made


def kept_folder(prefix: str, parent: str | None = None) -> Path:
    """Make a folder that everybody may enter, unlike pytest's own, for servers to run in."""
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
    folder.chmod(0o755)
    _made.append(folder)
    print("remove", folder, file=_sweeper(), flush=True)
    return folder


def thawed(folder: Path) -> None:
    """Let what stands still in this folder go on when we have gone, to its own end."""
    print("thaw", folder, file=_sweeper(), flush=True)


@functools.cache
def _sweeper() -> IO[str]:
    sweeper = subprocess.Popen(
        [sys.executable, "-I", __file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        text=True,
    )
    assert sweeper.stdin is not None
    # It sees our end by the end of this pipe, which nobody else may hold.
    os.register_at_fork(after_in_child=sweeper.stdin.close)
    atexit.register(sweeper.communicate)
    return sweeper.stdin


def main() -> None:
    """Wait until the tests have gone; end and remove what they have left."""
    reported = [line.rstrip("\n").partition(" ") for line in sys.stdin]
    ours = [Path(name) for what, _, name in reported if what == "remove"]
    _signal([Path(name) for _, _, name in reported], signal.SIGCONT)
    _end(ours, signal.SIGQUIT)
    _end(ours, signal.SIGKILL)
    for folder in ours:
        shutil.rmtree(folder, ignore_errors=True)


def _signal(folders: list[Path], number: signal.Signals) -> None:
    for pid in _living_in(folders):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def _end(folders: list[Path], number: signal.Signals) -> None:
    _signal(folders, number)
    end = time.monotonic() + PATIENCE_S
    while any(_living_in(folders)) and time.monotonic() < end:
        time.sleep(0.05)


def _living_in(folders: list[Path]) -> Iterator[int]:
    """Yield the processes whose working directory lies there; a server's is its data."""
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            pid, place = int(entry.name), (entry / "cwd").readlink()
            if any(place.is_relative_to(folder) for folder in folders):
                yield pid


if __name__ == "__main__":
    main()
