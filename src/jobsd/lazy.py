"""Packages that load their modules on first access (PEP 562)."""

from collections.abc import Callable, Sequence
from importlib import import_module
from types import ModuleType


def modules(package: str, names: Sequence[str]) -> Callable[[str], ModuleType]:
    """Return the `__getattr__` of a package that loads one of these modules on first use.

    So a command names at its top the rooms that it uses, and its help loads none of them.
    """

    def load(name: str) -> ModuleType:
        if name not in names:
            # `from package import other` asks the package before it looks for the module.
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return import_module(f"{package}.{name}")

    return load
