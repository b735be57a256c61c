"""The last results on record of the tests that break something: docs/evidence/failures.json.

`bin/test --record` (or `-m long --record`, or a few tests by their paths) writes down what
became of the tests that bear the mark, with commit and day; `python -m tests.chaos --record`
adds a chaos run; `python tests/docs/record.py` does all of it anew. Only on a clean tree: a
result is of a commit.
"""

from __future__ import annotations

import json
import subprocess
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

ROOT = Path(__file__).parents[2]
FILE = ROOT / "docs/evidence/failures.json"
OURS = {"docs/evidence/failures.json", "docs/evidence/failures.md"}
CHAOS_RUNS = 10
"""So many of the last runs are kept."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one test, or of one of its cases."""

    passed: bool
    long: bool
    commit: str
    date: str


@dataclass(frozen=True, slots=True)
class ChaosRun:
    """What a chaos run came to."""

    seed: int
    minutes: float
    troubles: int
    jobs: int
    runs: int
    processes: int
    wrong: str
    commit: str
    date: str


@dataclass(slots=True)
class Results:
    """All that is on record: by the ids of tests with their parameters, and chaos runs."""

    tests: dict[str, Outcome] = field(default_factory=dict[str, Outcome])
    chaos: list[ChaosRun] = field(default_factory=list[ChaosRun])

    def of(self, test: str) -> list[Outcome]:
        """Return the outcomes of a test, one for each of its cases."""
        return [outcome for name, outcome in self.tests.items() if _test_of(name) == test]

    def keep(self, tests: Iterable[str]) -> None:
        """Forget the outcomes of all others."""
        wanted = set(tests)
        self.tests = {
            name: each for name, each in self.tests.items() if _test_of(name) in wanted
        }


def _test_of(name: str) -> str:
    """Return the id of a test without its case."""
    return name.partition("[")[0]


def read() -> Results:
    """Return what is on record."""
    if not FILE.exists():
        return Results()
    reported: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    return Results(
        {name: Outcome(**each) for name, each in reported["tests"].items()},
        [ChaosRun(**each) for each in reported["chaos"]],
    )


def write(results: Results) -> None:
    """Write down what is on record, a line for each test and each chaos run."""
    tests = [
        f"{json.dumps(name)}: {json.dumps(asdict(each))}"
        for name, each in sorted(results.tests.items())
    ]
    chaos = [json.dumps(asdict(each)) for each in results.chaos[-CHAOS_RUNS:]]
    reported = f'{{"tests": {{\n{_lines(tests)}}},\n"chaos": [\n{_lines(chaos)}]}}\n'
    FILE.write_text(reported, encoding="utf-8")


def _lines(reported: list[str]) -> str:
    return ",\n".join(reported) + ("\n" if reported else "")


def commit_and_day() -> tuple[str, str]:
    """Return the commit that is tested, and today.

    Raises:
        RuntimeError: when the tree is not that of a commit.
    """
    changed = [line[3:] for line in _git("status", "--porcelain").splitlines()]
    if set(changed) - OURS:
        raise RuntimeError(f"results are of a commit, and these are not: {changed}")
    return _git("rev-parse", "--short", "HEAD").strip(), datetime.now(UTC).date().isoformat()


def _git(*arguments: str) -> str:
    return subprocess.run(
        ["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
