"""A copy of the working tree in which mutants are put: what we work on stays as it is.

It has an environment of its own, since what a test starts must find the copy too: `.venv`
of the copy looks for `jobsd` in the copy first, for all else where ours does.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path
from typing import TYPE_CHECKING

from kept import kept_folder
from layout.house import copy_to

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from mutants.table import Mutant


class Copy:
    """A copy of the tree; `root` is its top. It is gone when the run is over."""

    def __init__(self) -> None:
        self.root = kept_folder("jobsd-mutants-").resolve()
        copy_to(self.root)
        _make_environment(self.root)
        # Some tests ask git which files there are.
        for command in (("init", "-q"), ("add", "-A")):
            subprocess.run(["git", *command], cwd=self.root, check=True, capture_output=True)

    @property
    def pytest(self) -> str:
        """The pytest that finds the copy."""
        return str(self.root / ".venv/bin/pytest")

    @contextlib.contextmanager
    def with_(self, mutant: Mutant) -> Generator[None]:
        """Let a mutant live in its file for a while."""
        before = (self.root / mutant.file).read_text(encoding="utf-8")
        self._write(mutant.file, mutant.text(self.root))
        try:
            yield
        finally:
            self._write(mutant.file, before)

    def remove(self) -> None:
        """Remove it."""
        shutil.rmtree(self.root, ignore_errors=True)

    def _write(self, name: str, text: str) -> None:
        path = self.root / name
        path.write_text(text, encoding="utf-8")
        # Compiled code is told from newer source by the second, and two writes may share one.
        for compiled in path.parent.glob(f"__pycache__/{path.stem}.*.pyc"):
            compiled.unlink()


def _make_environment(root: Path) -> None:
    folder, ours = root / ".venv", Path(sys.executable).parent.parent
    venv.create(folder, symlinks=True)
    python = folder / "bin/python"
    # Paths in a .pth come in this order, and the .pth files of ours are not read.
    library = sysconfig.get_path("purelib", vars={"base": str(folder)})
    paths = [str(root / "src"), sysconfig.get_path("purelib")]
    Path(library, "copy.pth").write_text("\n".join(paths) + "\n", encoding="utf-8")
    for name, script in _scripts(ours):
        path = folder / "bin" / name
        path.write_bytes(f"#!{python}\n".encode() + script)
        path.chmod(0o755)
    declared, of = _stamp(ours, folder)
    (folder / "jobsd.stamp").write_text(f"dev\n{declared}\n{of}\n", encoding="utf-8")


def _scripts(environment: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the programs that are Python, without their first line."""
    for path in sorted((environment / "bin").iterdir()):
        if path.is_file() and not path.is_symlink():
            first, _, rest = path.read_bytes().partition(b"\n")
            if first.startswith(b"#!") and b"python" in first:
                yield path.name, rest


def _stamp(ours: Path, folder: Path) -> tuple[str, str]:
    """Return what bin/.setup compares: pyproject.toml, and whose environment this is."""
    stamp = ours / "jobsd.stamp"
    declared = stamp.read_text(encoding="utf-8").splitlines()[1] if stamp.exists() else ""
    return declared, f"{folder} of {Path(sys.executable).resolve()}"
