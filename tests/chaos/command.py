"""The command line of a chaos run."""

from __future__ import annotations

import argparse
import json
import os
import random
from pathlib import Path

from chaos.report import document, progress, show
from chaos.run import Wishes, run


def main(arguments: list[str] | None = None) -> int:
    """Do a chaos run and show what came of it; return 1 unless every figure is 0."""
    given = _parser().parse_args(arguments)
    seed = random.randrange(10_000) if given.seed is None else given.seed  # noqa: S311
    wishes = Wishes(
        seconds=given.minutes * 60,
        seed=seed,
        rate=given.rate,
        pace_s=given.pace,
        url=os.environ.get("JOBSD_TEST_DATABASE_URL"),
        only=given.only,
        keep=given.keep,
    )
    with progress() as tell:
        result = run(wishes, tell)
    if given.json:
        print(json.dumps(document(result), indent=2))
    else:
        show(result)
    return 0 if result.good else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos",
        description="Enqueue, and meanwhile kill, stop, freeze and cut at random; then compare"
        " what the jobs did with what was recorded.",
    )
    parser.add_argument("--minutes", type=float, default=1.0, help="how long the troubles last")
    parser.add_argument("--seed", type=int, help="which troubles; drawn unless given")
    parser.add_argument("--rate", type=float, default=60.0, help="jobs enqueued each second")
    parser.add_argument(
        "--pace", type=float, default=0.7, help="seconds from trouble to trouble"
    )
    parser.add_argument("--only", default="", help="troubles with these words: kill,freeze")
    parser.add_argument("--keep", type=Path, help="a folder for logs and ledger")
    parser.add_argument("--json", action="store_true", help="print a document for programs")
    return parser
