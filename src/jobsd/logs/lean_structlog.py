"""Imports structlog without rich, which it needs only for tracebacks that we never draw.

structlog imports rich if it is installed, and it is: our commands draw tables with it. In a
tree of processes that would be 30 ms at each start and 4 MiB for nothing.
"""

import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import cast


@contextmanager
def absent(module: str) -> Generator[None]:
    """Make imports of a module fail as if it were not installed, unless it is loaded.

    Only before there are threads: they would find it absent too.
    """
    if module in sys.modules:
        yield
        return
    # `import` takes this as a sign that the module does not exist.
    cast("dict[str, object]", sys.modules)[module] = None
    try:
        yield
    finally:
        del sys.modules[module]


with absent("rich"):
    import structlog

__all__ = ["structlog"]
