"""The entry point of `jobsd`."""

from __future__ import annotations

from . import interrupts

TYPE_CHECKING = False  # as in `interrupts`

if TYPE_CHECKING:
    from typing import NoReturn


def main() -> NoReturn:
    """Run the command of the command line and exit with its status."""
    interrupts.are_the_end()
    from jobsd.daemon.cli.cli import main as run

    run()
