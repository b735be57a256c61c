"""Jobs: their definition, their arguments, and one file for each state they can be in."""

from typing import TYPE_CHECKING

from jobsd import late

if TYPE_CHECKING:
    from . import cancels, discards, failed, finding, lanes, listing, queues, ready, registry

__all__ = [
    "cancels",
    "discards",
    "failed",
    "finding",
    "lanes",
    "listing",
    "queues",
    "ready",
    "registry",
]
__getattr__ = late.modules(__name__, __all__)
