"""TTIN and TTOU: one worker more, one worker fewer, until the next reload."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .children import Child

if TYPE_CHECKING:
    from .child_table import ChildTable


def add_worker(table: ChildTable) -> None:
    """Make a child for another worker, like the first."""
    first = next((child for child in table.children if child.spec.kind == "worker"), None)
    if first is not None:
        table.children.append(Child(first.spec))


def remove_worker(table: ChildTable) -> None:
    """Give up the youngest child for a worker that is not the last for its queues."""
    workers = [child for child in table.children if child.spec.kind == "worker"]
    for child in reversed(workers):
        if sum(other.spec.label == child.spec.label for other in workers) > 1:
            table.retire(child)
            return
