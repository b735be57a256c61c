"""Jobs: their definition, and one file for each state they can be in."""

from typing import TYPE_CHECKING

from jobsd import late

if TYPE_CHECKING:
    from . import finding, registry

__all__ = ["finding", "registry"]
__getattr__ = late.modules(__name__, __all__)
