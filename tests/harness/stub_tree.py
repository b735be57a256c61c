"""A tree with a real supervisor over stub processes, which do what a test tells them."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from harness.tree import Tree, lives

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence

    from harness.event_log import Facts

PROGRAM = Path(__file__).with_name("stub_program.py")


class StubTree(Tree):
    """The tree that `stub_program.py` is; its folder is for this tree alone."""

    def __init__(
        self, folder: Path, wanted: Facts, wrap: Sequence[str], environ: Mapping[str, str]
    ) -> None:
        self.folder = folder
        self.reshape(wanted["specs"])
        self._stderr = folder / "stderr"
        # Stacks are dumped there in pieces, between which a line of the log would be torn.
        with self._stderr.open("wb") as stderr:
            super().__init__(
                [*wrap, sys.executable, "-P", str(PROGRAM), json.dumps(wanted)],
                folder,
                {**os.environ, "PYTHONPATH": "", **environ},
                stderr=stderr,
            )

    @property
    def pid(self) -> int:
        """The process id of the supervisor, or of the program that has started it."""
        return self.process.pid

    def command(self, what: str) -> Path:
        """Tell the stub processes to do something: "worker.hang"."""
        path = self.folder / what
        path.touch()
        return path

    def reshape(self, specs: Any) -> None:
        """Change what the next reload will find."""
        (self.folder / "specs").write_text(json.dumps(specs), encoding="utf-8")

    def state(self) -> list[Facts]:
        """Ask for the table of processes."""
        before = len(self.events("supervisor.dumped"))
        self.send(signal.SIGUSR2)
        rows: list[Facts] = self.wait_event("supervisor.dumped", before + 1)["processes"]
        return rows

    def pids(self, kind: str = "") -> list[int]:
        """Return the process ids of the living children, or of those of a kind."""
        return [
            row["pid"] for row in self.state() if "pid" in row and kind in {"", row["kind"]}
        ]

    def alive(self) -> list[psutil.Process]:
        """Return all processes but the supervisor that live in the tree's folder.

        The stubs leave processes behind that are nobody's children any more.
        """
        found: list[psutil.Process] = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.cwd() == str(self.folder) and lives(process):
                    found.append(process)
        return [process for process in found if process.pid != self.pid]

    def reported(self) -> str:
        """Return the last lines that were logged, and the stacks that were dumped."""
        return f"{super().reported()}\n{self._stderr.read_text(encoding='utf-8')[-2000:]}"


@contextlib.contextmanager
def stub_tree(
    folder: Path,
    *specs: tuple[str, int],
    wrap: Sequence[str] = (),
    environ: Mapping[str, str] | None = None,
    **options: Any,
) -> Generator[StubTree]:
    """Run a stub tree for the length of a block."""
    wanted = {
        "specs": specs or [("monitor", 1), ("worker", 2)],
        "shutdown_timeout_s": 5.0,
        "hang_timeout_s": 60.0,
        "process_alive_threshold_s": 60.0,
        "entries": 256,
        **options,
    }
    tree = StubTree(folder, wanted, wrap, environ or {})
    try:
        yield tree
    finally:
        tree.end()
