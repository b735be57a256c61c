"""Jobs as programs define them: the definition and its options, the draft, the current job.

Tables of states lie in `states`, enqueues in `enqueueing`, what operators do in `acts`.
"""

from typing import TYPE_CHECKING

from jobsd import lazy

if TYPE_CHECKING:
    from . import default_database, registry

__all__ = ["default_database", "registry"]
__getattr__ = lazy.modules(__name__, __all__)
