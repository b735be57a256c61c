"""Starts the small tree, gives it commands, and reads what it tells."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from system.tree import ENDS_WITH_US
from waiting import Stopwatch, wait_until

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from waiting import Took

PROGRAM = Path(__file__).with_name("program.py")
WITHIN_S = 30.0

Facts = dict[str, Any]


def alive(pid: int) -> bool:
    """Return whether a process lives; one that has ended but was not reaped does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in {"Z", "X"}


class SmallTree:
    """A supervisor in a process of its own; `pid` is the supervisor's."""

    def __init__(
        self, folder: Path, wanted: Facts, wrap: Sequence[str], environ: Facts
    ) -> None:
        self.folder = folder
        self.reshape(wanted["specs"])
        self.stderr = folder / "stderr"
        with self.stderr.open("wb") as stderr:
            self.process = subprocess.Popen(
                [*ENDS_WITH_US, *wrap, sys.executable, "-P", str(PROGRAM), json.dumps(wanted)],
                cwd=folder,
                env={**os.environ, "PYTHONPATH": "", **environ},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=stderr,
                start_new_session=True,
            )
        self.pid = self.process.pid
        self._events: list[Facts] = []
        self._news = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def command(self, what: str) -> Path:
        """Tell the small processes to do something: "worker.hang"."""
        path = self.folder / what
        path.touch()
        return path

    def reshape(self, specs: Any) -> None:
        """Change what the next reload will find."""
        (self.folder / "specs").write_text(json.dumps(specs), encoding="utf-8")

    def send(self, number: signal.Signals) -> None:
        """Send the supervisor a signal."""
        self.process.send_signal(number)

    def events(self, event: str, **facts: Any) -> list[Facts]:
        """Return what was told so far, in order."""
        with self._news:
            return [
                t for t in self._events if t["event"] == event and facts.items() <= t.items()
            ]

    def wait(
        self, event: str, count: int = 1, within_s: float = WITHIN_S, **facts: Any
    ) -> Facts:
        """Wait until something was told `count` times; return the last of these."""

        def happened() -> bool:
            return len(self.events(event, **facts)) >= count

        with self._news:
            found = self._news.wait_for(happened, within_s)
        assert found, f"no {event} {facts} x{count} within {within_s} s of {self.summary()}"
        return self.events(event, **facts)[count - 1]

    def summary(self) -> str:
        """Return what to show when a test fails."""
        lines = "\n".join(map(str, self._events[-20:]))
        return f"\n{lines}\n{self.stderr.read_text(encoding='utf-8')[-2000:]}"

    def state(self) -> list[Facts]:
        """Ask for the table of processes."""
        before = len(self.events("supervisor.dumped"))
        self.send(signal.SIGUSR2)
        rows: list[Facts] = self.wait("supervisor.dumped", before + 1)["processes"]
        return rows

    def pids(self, kind: str = "") -> list[int]:
        """Return the process ids of the living children, or of those of a kind."""
        return [
            row["pid"] for row in self.state() if "pid" in row and kind in {"", row["kind"]}
        ]

    def end(self, number: signal.Signals = signal.SIGTERM, within_s: float = WITHIN_S) -> Took:
        """Send a signal, wait for the end of the supervisor; return what it took."""
        # Begun before: on a busy machine the tree is far on when a watch has been made.
        watch = Stopwatch()
        self.send(number)
        return self.ended(within_s, watch)

    def ended(self, within_s: float = WITHIN_S, watch: Stopwatch | None = None) -> Took:
        """Wait for the end of the supervisor and of what it tells; return what it took."""
        watch = watch or Stopwatch()
        wait_until(lambda: self.process.poll() is not None, within_s)
        took = watch.took()
        self._reader.join(10)
        return took

    def left(self) -> list[int]:
        """Return all processes but the supervisor that live in its folder."""
        found: list[int] = []
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError, ValueError):
                if (entry / "cwd").readlink() == self.folder and alive(int(entry.name)):
                    found.append(int(entry.name))
        return [pid for pid in found if pid != self.pid]

    def clean_up(self) -> None:
        """Kill what is left of it, each by its process id."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for pid in self.left():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._reader.join(10)
        assert self.process.stdout is not None
        self.process.stdout.close()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._news:
                if line.startswith(b"{"):
                    self._events.append(json.loads(line))
                self._news.notify_all()


@contextlib.contextmanager
def small_tree(
    folder: Path,
    *specs: tuple[str, int],
    wrap: Sequence[str] = (),
    environ: Facts | None = None,
    **options: Any,
) -> Generator[SmallTree]:
    """Run a small tree for the length of a block."""
    wanted = {
        "specs": specs or [("monitor", 1), ("worker", 2)],
        "shutdown_timeout_s": 5.0,
        "hang_timeout_s": 60.0,
        "process_alive_threshold_s": 60.0,
        "entries": 256,
        **options,
    }
    tree = SmallTree(folder, wanted, wrap, environ or {})
    try:
        yield tree
    finally:
        tree.clean_up()
