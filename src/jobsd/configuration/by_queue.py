"""A setting that has one value for all queues, or a value for each queue."""

from typing import TypeVar

from .faults import Mistake, Mistakes
from .kinds import Kind, read_queue, text
from .source import Mapping, Node

T = TypeVar("T")

_QUEUE = text(read_queue)


def by_queue(kind: Kind[T]) -> Kind[dict[str, T]]:
    """Make a kind: one value, or a mapping of queues to values.

    The value of `default` is that of all queues without one of their own; one value alone is
    the same. All mistakes are raised at once.
    """

    def read(node: Node) -> dict[str, T]:
        if not isinstance(node, Mapping):
            return {"default": kind(node)}
        found: dict[str, T] = {}
        mistakes: list[tuple[Node, str, Mistake]] = []
        for name, pair in node.pairs.items():
            faulty: Node = pair.key
            try:
                queue = _QUEUE(faulty)
                faulty = pair.value
                found[queue] = kind(faulty)
            except Mistake as mistake:
                mistakes.append((faulty, f".{name}", mistake))
        if mistakes:
            raise Mistakes(mistakes)
        return found

    return Kind(read, f"{kind.takes}, or such a value by queue")
