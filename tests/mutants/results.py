"""What became of mutants: a line for each, so that a run goes on where it was broken off.

A result counts as long as the mutant, the file that it is in, and its tests are the same.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from layout.house import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mutants.table import Mutant

FILE = ROOT / "build/mutants.tsv"


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one mutant: `killed`, `survived`, or `skipped` where no test ran."""

    outcome: str
    seconds: float
    by: str = ""
    """Which test has failed."""


class Results:
    """The results on file."""

    def __init__(self, file: Path = FILE) -> None:
        self._file = file
        self._known: dict[tuple[str, str], Result] = {}
        if file.exists():
            for line in file.read_text(encoding="utf-8").splitlines():
                name, digest, outcome, seconds, by = line.split("\t")
                self._known[name, digest] = Result(outcome, float(seconds), by)

    def of(self, mutant: Mutant, root: Path = ROOT) -> Result | None:
        """Return what became of it, if that is known of a tree as it is now."""
        return self._known.get((mutant.id, _digest(mutant, root)))

    def add(self, mutant: Mutant, result: Result, root: Path = ROOT) -> None:
        """Write down what became of it in a tree."""
        digest = _digest(mutant, root)
        self._known[mutant.id, digest] = result
        self._file.parent.mkdir(exist_ok=True)
        with self._file.open("a", encoding="utf-8") as file:
            columns = (mutant.id, digest, result.outcome, f"{result.seconds:.1f}", result.by)
            print(*columns, sep="\t", file=file)

    def forget(self) -> None:
        """Begin anew."""
        self._known.clear()
        self._file.unlink(missing_ok=True)


def _digest(mutant: Mutant, root: Path) -> str:
    digest = hashlib.sha256(repr((mutant.put, mutant.test)).encode())
    digest.update(mutant.text(root).encode())
    for path in _files(root / mutant.test_file):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _files(path: Path) -> Iterator[Path]:
    if path.is_dir():
        yield from sorted(path.rglob("*.py"))
    elif path.exists():
        yield path
