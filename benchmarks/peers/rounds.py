"""Runs all peers in turns, round after round, and tells their medians."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from functools import partial
from statistics import median, quantiles
from typing import TYPE_CHECKING

from . import harness
from .environments import MissingError, environment

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator
    from contextlib import AbstractContextManager

    from benchmarks.server import Server

    from .catalog import Peer
    from .environments import Environment

    Have = Callable[..., AbstractContextManager[harness.Running]]
    Figures = Iterator[tuple[str, float]]


@dataclass(slots=True)
class Found:
    """What a peer came to: all figures of all rounds, or why there are none.

    `start_ms` has each start of all rounds, so that its percentiles are of all together.
    """

    peer: str
    version: str
    settings: str
    runs: bool = True
    problem: str = ""
    figures: dict[str, list[float]] = field(default_factory=dict[str, list[float]])

    def medians(self) -> dict[str, float]:
        """Return the median of each figure, and percentiles of the starts."""
        found = {name: median(values) for name, values in self.figures.items()}
        if starts := self.figures.get("start_ms"):
            cuts = quantiles(starts, n=100, method="inclusive")
            found |= {"p50_ms": cuts[49], "p99_ms": cuts[98]}
        return found

    def document(self) -> dict[str, object]:
        """Return all of it, for JSON."""
        return {**asdict(self), "medians": self.medians()}


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is measured (names of `PARTS`), in how many rounds, and how large."""

    parts: Collection[str]
    rounds: int
    scale: float


def run(
    peers: Iterable[Peer], server: Server, wanted: Wanted, step: Callable[[str], None]
) -> list[Found]:
    """Measure peers in turns; a peer that can't be had or fails says so and is left out."""
    found: list[Found] = []
    ready: list[tuple[Peer, Environment, Found]] = []
    for peer in peers:
        step(f"{peer.name}: its environment")
        row = Found(peer.name, "", peer.settings, peer.runs)
        found.append(row)
        try:
            made = environment(peer)
        except MissingError as error:
            row.problem = str(error)
            continue
        row.version = made.version
        ready.append((peer, made, row))
    for number in range(wanted.rounds):
        # The order changes, so that nobody always runs after the same one.
        for peer, made, row in ready[:: 1 if number % 2 == 0 else -1]:
            if not row.problem:
                step(f"{peer.name}, round {number + 1} of {wanted.rounds}")
                _round(peer, made, row, server, wanted)
    return found


def _round(peer: Peer, made: Environment, row: Found, server: Server, wanted: Wanted) -> None:
    have = partial(harness.running, peer, made, server)
    try:
        for part in wanted.parts:
            if peer.runs or part in _WITHOUT_RUNNING:
                for name, value in PARTS[part](have, peer, wanted.scale):
                    row.figures.setdefault(name, []).append(value)
    except (harness.PeerError, OSError, ValueError) as error:
        row.problem = str(error)


def _drains(have: Have, peer: Peer, scale: float) -> Figures:
    for (processes, threads), jobs in zip(harness.LAYOUTS, peer.sizes, strict=True):
        if scale < harness.SMALL and (processes, threads) != (1, 3):
            continue
        with have() as one:
            count = max(100, int(jobs * scale))
            rate = harness.drain(one, count, processes, threads)
            yield f"drain_{processes}x{threads}_per_s", rate


def _coroutines(have: Have, peer: Peer, scale: float) -> Figures:
    for name, sleep_s in harness.SLEEPS_S.items() if peer.coroutines else ():
        if scale < harness.SMALL and not sleep_s:
            continue
        with have(sleep_s) as one:
            count = max(100, int(peer.sizes[1] * scale))
            yield name, harness.drain(one, count, 1, harness.COROUTINES)


def _enqueues(have: Have, _: Peer, scale: float) -> Figures:
    with have() as one:
        yield "enqueue_per_s", harness.enqueue(one, scale)


def _bulk(have: Have, peer: Peer, scale: float) -> Figures:
    if peer.bulk:
        with have() as one:
            yield "bulk_per_s", harness.bulk(one, scale)


def _starts(have: Have, _: Peer, scale: float) -> Figures:
    with have() as one:
        for late in harness.starts(one, scale):
            yield "start_ms", late


def _idle(have: Have, _: Peer, scale: float) -> Figures:
    with have() as one:
        yield from harness.idle(one, scale).items()


PARTS = {
    "drain": _drains,
    "coroutines": _coroutines,
    "enqueue": _enqueues,
    "bulk": _bulk,
    "latency": _starts,
    "idle": _idle,
}
"""What is measured of each queue, by the names of `--part`."""
_WITHOUT_RUNNING = {"enqueue", "bulk"}
