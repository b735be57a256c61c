"""The command line of a chaos run."""

from __future__ import annotations

import argparse
import json
import logging
import os
import random
from pathlib import Path
from typing import TYPE_CHECKING

from chaos.report import document, progress, show
from chaos.run import Requests, run
from docs.results import ChaosRun, commit_and_day, read, write

if TYPE_CHECKING:
    from chaos.run import Result


def main(arguments: list[str] | None = None) -> int:
    """Do a chaos run and show what came of it; return 1 unless every figure is 0."""
    given = _parser().parse_args(arguments)
    # That connections break is what we are here for.
    logging.getLogger("psycopg").setLevel(logging.CRITICAL)
    seed = random.randrange(10_000) if given.seed is None else given.seed  # noqa: S311
    requests = Requests(
        seconds=given.minutes * 60,
        seed=seed,
        rate=given.rate,
        pace_s=given.pace,
        url=os.environ.get("JOBSD_TEST_DATABASE_URL") or None,
        only=given.only,
        keep=given.keep,
    )
    of = commit_and_day() if given.record else None
    with progress() as report:
        result = run(requests, report)
    if of is not None:
        _record(result, *of)
    if given.json:
        print(json.dumps(document(result), indent=2))
    else:
        show(result)
    return 0 if result.good else 1


def _record(result: Result, commit: str, date: str) -> None:
    """Add a run to the results on record."""
    counts = result.counts
    wrong = {name: len(faults) for name, faults in result.faults.items() if faults}
    results = read()
    results.chaos.append(
        ChaosRun(
            seed=result.requests.seed,
            minutes=result.requests.seconds / 60,
            troubles=sum(result.troubles.values()),
            jobs=sum(number for name, number in counts.items() if name.startswith("jobs: ")),
            runs=counts["runs"],
            processes=counts["processes"],
            wrong=", ".join(f"{name}: {number}" for name, number in wrong.items()),
            commit=commit,
            date=date,
        )
    )
    write(results)


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
    parser.add_argument(
        "--record", action="store_true", help="add it to docs/evidence/failures.json"
    )
    parser.add_argument("--json", action="store_true", help="print a document for programs")
    return parser
