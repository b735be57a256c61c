"""What the operator wrote, checked and frozen."""

from typing import TYPE_CHECKING

from jobsd import late

if TYPE_CHECKING:
    from . import faults, flags, folder, kinds, load, missing_task, target

__all__ = ["faults", "flags", "folder", "kinds", "load", "missing_task", "target"]
__getattr__ = late.modules(__name__, __all__)
