"""The operator's configuration, checked and frozen."""

from typing import TYPE_CHECKING

from jobsd import lazy

if TYPE_CHECKING:
    from . import faults, flags, folder, kinds, load, missing_task, target

__all__ = ["faults", "flags", "folder", "kinds", "load", "missing_task", "target"]
__getattr__ = lazy.modules(__name__, __all__)
