"""Other queues beside ours, on one server, in turns: `python -m benchmarks peers`."""

from .command import chosen, measure
from .rounds import PARTS, Wanted

__all__ = ["PARTS", "Wanted", "chosen", "measure"]
