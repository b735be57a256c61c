"""The entry point of `jobsd`."""

import gc
from typing import NoReturn

from . import interrupts

TYPE_CHECKING = False  # as in `interrupts`


def main() -> NoReturn:
    """Run what the command line says and exit as it ends."""
    interrupts.are_the_end()
    # A short command leaves nothing to collect, and loads much that would be walked over.
    gc.disable()
    from .cli import main as run

    run()
