"""Other queues beside ours, on one server, in turns: `python -m benchmarks peers`."""

from .command import chosen, measure

__all__ = ["chosen", "measure"]
