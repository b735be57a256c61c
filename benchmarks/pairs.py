"""Two contenders, run in turns: figures of a shared machine mean something only side by side.

Each pair runs both, the order changing from pair to pair. What is told is the median of the
ratios within the pairs, not the ratio of two medians: the machine's moods last longer than a
pair.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import TYPE_CHECKING

from .meter import Usage

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Measured:
    """What one run came to. The first figure is the one that ratios are made of."""

    figures: dict[str, float]
    usage: Usage = field(default_factory=Usage)


Run = Callable[[], Measured]


@dataclass(frozen=True, slots=True)
class Contender:
    """One side of a comparison.

    `run` makes what it needs and measures; `count` runs the same for its round trips per
    job alone.
    """

    name: str
    run: Run
    count: Callable[[], float] | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """One line of a benchmark: a contender, and the one that it is held against.

    `pairs_max` bounds the pairs of a case that takes long.
    """

    name: str
    subject: Contender
    reference: Contender | None = None
    pairs_max: int = 1000
    target: str = ""
    """What is to be reached, in words."""


@dataclass(frozen=True, slots=True)
class Side:
    """One contender's medians over all pairs, and the range of its first figure."""

    name: str
    figures: dict[str, float]
    lowest: float
    highest: float
    usage: Usage


@dataclass(frozen=True, slots=True)
class Row:
    """What a case came to; `ratio` is subject to reference."""

    case: str
    pairs: int
    subject: Side
    reference: Side | None
    ratio: float | None
    ratio_lowest: float | None
    ratio_highest: float | None
    target: str


def compare(case: Case, pairs: int, step: Callable[[str], None]) -> Row:
    """Run a case; `step` is called before each run with what is being run."""
    contenders = [case.subject, *([case.reference] if case.reference else [])]
    runs: dict[str, list[Measured]] = {contender.name: [] for contender in contenders}
    pairs = min(pairs, case.pairs_max)
    for pair in range(pairs):
        for contender in contenders if pair % 2 == 0 else contenders[::-1]:
            step(f"{case.name}: {contender.name}, {pair + 1} of {pairs}")
            runs[contender.name].append(contender.run())
    sides = [_side(contender, runs[contender.name], step) for contender in contenders]
    compared = case.reference is not None
    ratios = _ratios(*runs.values()) if compared else []
    return Row(
        case.name,
        pairs,
        sides[0],
        sides[-1] if compared else None,
        median(ratios) if compared else None,
        min(ratios) if compared else None,
        max(ratios) if compared else None,
        case.target,
    )


def steps(case: Case, pairs: int) -> int:
    """Return how often `compare` will call `step`."""
    contenders = [case.subject, *([case.reference] if case.reference else [])]
    counted = sum(contender.count is not None for contender in contenders)
    return min(pairs, case.pairs_max) * len(contenders) + counted


def _ratios(subject: Sequence[Measured], reference: Sequence[Measured]) -> list[float]:
    return [
        _first(ours) / _first(theirs) for ours, theirs in zip(subject, reference, strict=True)
    ]


def _first(measured: Measured) -> float:
    return next(iter(measured.figures.values()))


def _side(contender: Contender, runs: list[Measured], step: Callable[[str], None]) -> Side:
    firsts = [_first(run) for run in runs]
    names = runs[0].figures
    usage = {key: _median([asdict(run.usage)[key] for run in runs]) for key in asdict(Usage())}
    if contender.count is not None:
        step(f"{contender.name}: counting round trips")
        usage["round_trips"] = contender.count()
    return Side(
        contender.name,
        {name: median(run.figures[name] for run in runs) for name in names},
        min(firsts),
        max(firsts),
        Usage(**usage),
    )


def _median(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None
