"""TTIN and TTOU: one worker more, one worker fewer, until the next reload."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .children import Place

if TYPE_CHECKING:
    from .crew import Crew


def add_worker(crew: Crew) -> None:
    """Make a place for another worker, like the first."""
    first = next((place for place in crew.places if place.spec.kind == "worker"), None)
    if first is not None:
        crew.places.append(Place(first.spec))


def remove_worker(crew: Crew) -> None:
    """Give up the youngest place for a worker that is not the last for its queues."""
    workers = [place for place in crew.places if place.spec.kind == "worker"]
    for place in reversed(workers):
        if sum(other.spec.label == place.spec.label for other in workers) > 1:
            crew.retire(place)
            return
