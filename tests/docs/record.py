"""Records everything anew: all tests that break something, some chaos runs, and their page.

    python tests/docs/record.py [--minutes 5] [--seeds 3 4 5 6 7]

To be run in .venv, from a clean tree, on a machine that has nothing else to do; it takes an
hour. What is left to do afterwards is to commit failures.json and failures.md in docs/evidence.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).parents[1])

from docs.failures_page import PAGE, page
from docs.results import ROOT, Results, commit_and_day, read, write
from marks import marked

if TYPE_CHECKING:
    from collections.abc import Sequence


def main() -> int:
    """Record; return 1 unless everything has a result, and a good one."""
    parser = argparse.ArgumentParser(description="Record everything anew.")
    parser.add_argument("--minutes", type=float, default=5.0, help="of each chaos run")
    parser.add_argument("--seeds", type=int, nargs="*", default=[3, 4, 5, 6, 7])
    given = parser.parse_args()
    commit_and_day()
    write(Results())
    _run("bin/test", "-m", "failure", "--record")
    for seed in given.seeds:
        words = ("--minutes", str(given.minutes), "--seed", str(seed), "--record")
        _run(sys.executable, "-m", "tests.chaos", *words)
    results = read()
    tests = marked("failure")
    PAGE.write_text(page(tests, results), encoding="utf-8")
    wrong = shortcomings([test.id for test in tests], results)
    print("\n".join(wrong) or f"All is on record, and all is well: {PAGE}")
    return 1 if wrong else 0


def shortcomings(tests: Sequence[str], results: Results) -> list[str]:
    """Return what failed, and what has no result because this machine can't do it."""
    return [
        *(f"no result: {test}" for test in tests if not results.of(test)),
        *(f"failed: {name}" for name, each in results.tests.items() if not each.passed),
        *(f"chaos, seed {run.seed}: {run.wrong}" for run in results.chaos if run.wrong),
    ]


def _run(*command: str) -> None:
    subprocess.run(command, cwd=ROOT, check=False)


if __name__ == "__main__":
    sys.exit(main())
