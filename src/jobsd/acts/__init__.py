"""The acts of operators and programs on stored jobs: list, cancel, discard, retry, move, clear.

Commands, pages and the Python API call these; the queries behind pages lie in `operations`.
"""

from typing import TYPE_CHECKING

from jobsd import lazy

if TYPE_CHECKING:
    from . import cancels, discards, everything, listing, queues, retries

__all__ = ["cancels", "discards", "everything", "listing", "queues", "retries"]
__getattr__ = lazy.modules(__name__, __all__)
