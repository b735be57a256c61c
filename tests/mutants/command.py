"""The command line of a mutation run."""

from __future__ import annotations

import argparse
import random
import sys
from collections import Counter
from typing import TYPE_CHECKING

from jobsd.clock import monotonic
from layout.house import ROOT
from mutants.copied import Copy
from mutants.results import Results
from mutants.run import UntestableError, check, server, try_one
from mutants.table import missing, read

if TYPE_CHECKING:
    from mutants.results import Result
    from mutants.table import Mutant


_UNTESTABLE_MAX = 10
"""After so many that can't be tried it is the machine, or the environment."""


def main(arguments: list[str] | None = None) -> int:
    """Try mutants; return 1 if one survives, and 2 if a text or a test is not found."""
    given = _parser().parse_args(arguments)
    everything = read()
    if faults := missing(everything, ROOT):
        print(*faults, sep="\n")
        return 2
    results = Results()
    if given.anew:
        results.forget()
    chosen = [mutant for mutant in everything if _is_wanted(mutant, given.which)]
    if given.sample is not None:
        chosen = _sampled(chosen, given.sample)
    try:
        _try_all(chosen, results, given)
    except UntestableError as error:
        print(error)
        return 2
    return _summed_up(chosen, results)


def _is_wanted(mutant: Mutant, which: list[str]) -> bool:
    named = not which or mutant.room in which or mutant.id in which
    return named and not mutant.equivalent


def _sampled(mutants: list[Mutant], seed: str) -> list[Mutant]:
    """Return those that name one test, shuffled; as CI has just run all tests, quick ones."""
    quick = [mutant for mutant in mutants if "::" in mutant.test and not mutant.lives]
    random.Random(seed).shuffle(quick)  # noqa: S311 - no secret
    return quick


def _try_all(mutants: list[Mutant], results: Results, given: argparse.Namespace) -> None:
    ends_at = monotonic() + given.minutes * 60 if given.minutes else float("inf")
    waiting = [mutant for mutant in mutants if results.of(mutant) is None]
    if not waiting:
        return
    copy = Copy()
    try:
        with server() as url:
            if given.sample is None:
                print(f"{len(waiting)} to try; first their tests without them ...", flush=True)
                check(copy, (mutant.test for mutant in waiting), url)
            _try_each(copy, waiting, results, url, ends_at)
    finally:
        copy.remove()


def _try_each(
    copy: Copy, waiting: list[Mutant], results: Results, url: str, ends_at: float
) -> None:
    """Try one after the other, until it is time to end.

    Raises:
        UntestableError: when some can't be tried; the others are.
    """
    untestable = 0
    for mutant in waiting:
        if monotonic() >= ends_at or untestable == _UNTESTABLE_MAX:
            break
        try:
            result = try_one(copy, mutant, url)
        except UntestableError as error:
            untestable += 1
            print(error, flush=True)
        else:
            results.add(mutant, result, copy.root)
            _show(mutant, result)
    if untestable:
        raise UntestableError(f"{untestable} could not be tried: see above")


def _show(mutant: Mutant, result: Result) -> None:
    # What was expected to be seen is told in one line, what was not with its sentence.
    print(f"{result.outcome:9}{result.seconds:6.1f} s  {mutant.id}", flush=True)
    if result.outcome != "killed":
        print(f"    {mutant.breaks}\n    {mutant.file}; {mutant.test}", flush=True)


def _summed_up(mutants: list[Mutant], results: Results) -> int:
    found = {mutant: result for mutant in mutants if (result := results.of(mutant))}
    outcomes = Counter(result.outcome for result in found.values())
    reported = ", ".join(f"{number} {outcome}" for outcome, number in sorted(outcomes.items()))
    seconds = sum(result.seconds for result in found.values())
    print(
        f"{len(found)} of {len(mutants)} mutants tried in {seconds:.0f} s: {reported or 'none'}"
    )
    survivors = [
        mutant.id
        for mutant, result in found.items()
        if result.outcome == "survived" and not mutant.lives
    ]
    if survivors:
        print("survived:", *survivors, file=sys.stderr)
    return 1 if survivors else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.mutants",
        description="Put one fault after the other into a copy of the tree, and see that the"
        " test that is there for it fails.",
        epilog="Goes on where a run was broken off: build/mutants.tsv has the results so far.",
    )
    parser.add_argument("which", nargs="*", help="rooms, or ids as room.name; all unless given")
    parser.add_argument("--anew", action="store_true", help="forget the results so far")
    parser.add_argument("--minutes", type=float, help="try no more after this time")
    parser.add_argument(
        "--sample", metavar="SEED", help="in an order of the seed's, those that name one test"
    )
    return parser
