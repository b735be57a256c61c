"""Runs all peers in turns, round after round, and tells their medians."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from statistics import median
from typing import TYPE_CHECKING

from . import harness
from .environments import MissingError, environment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from benchmarks.server import Server

    from .catalog import Peer
    from .environments import Environment


@dataclass(slots=True)
class Found:
    """What a peer came to: all figures of all rounds, or why there are none."""

    peer: str
    version: str
    settings: str
    runs: bool = True
    problem: str = ""
    figures: dict[str, list[float]] = field(default_factory=dict[str, list[float]])

    def medians(self) -> dict[str, float]:
        """Return the median of each figure."""
        return {name: median(values) for name, values in self.figures.items()}

    def document(self) -> dict[str, object]:
        """Return all of it, for JSON."""
        return {**asdict(self), "medians": self.medians()}


def run(
    peers: Iterable[Peer],
    server: Server,
    rounds: int,
    scale: float,
    step: Callable[[str], None],
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
    for number in range(rounds):
        # The order changes, so that nobody always runs after the same one.
        for peer, made, row in ready[:: 1 if number % 2 == 0 else -1]:
            if not row.problem:
                step(f"{peer.name}, round {number + 1} of {rounds}")
                _round(peer, made, row, server, scale)
    return found


def _round(peer: Peer, made: Environment, row: Found, server: Server, scale: float) -> None:
    try:
        for name, value in _figures(peer, made, server, scale):
            row.figures.setdefault(name, []).append(value)
    except (harness.PeerError, OSError, ValueError) as error:
        row.problem = str(error)


def _figures(
    peer: Peer, made: Environment, server: Server, scale: float
) -> Iterable[tuple[str, float]]:
    if not peer.runs:
        with harness.running(peer, made, server) as one:
            yield from harness.enqueue(one, scale).items()
        return
    for (processes, threads), jobs in zip(harness.LAYOUTS, peer.sizes, strict=True):
        if scale < harness.SMALL and (processes, threads) != (1, 3):
            continue
        with harness.running(peer, made, server) as one:
            count = max(100, int(jobs * scale))
            rate = harness.drain(one, count, processes, threads)["jobs_per_s"]
            yield f"drain_{processes}x{threads}_per_s", rate
    for name, sleep_s in harness.SLEEPS_S.items() if peer.coroutines else ():
        if scale < harness.SMALL and not sleep_s:
            continue
        with harness.running(peer, made, server, sleep_s) as one:
            count = max(100, int(peer.sizes[1] * scale))
            yield name, harness.drain(one, count, 1, harness.COROUTINES)["jobs_per_s"]
    for measure in (harness.enqueue, harness.latency, harness.idle):
        with harness.running(peer, made, server) as one:
            yield from measure(one, scale).items()
