"""Shows how a chaos run goes on, and what came of it."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from chaos.run import Result

SHOWN = 5


@contextlib.contextmanager
def progress() -> Generator[Callable[[str, float], None]]:
    """A bar for each phase; nothing where there is no terminal."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description:>9}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bars:
        tasks: dict[str, Any] = {}

        def report(phase: str, share: float) -> None:
            if phase not in tasks:
                tasks[phase] = bars.add_task(phase, total=1.0)
            bars.update(tasks[phase], completed=share)

        yield report


def document(result: Result) -> dict[str, Any]:
    """Return a result for programs."""
    requests = result.requests
    return {
        "seed": requests.seed,
        "seconds": requests.seconds,
        "rate": requests.rate,
        "troubles": result.troubles,
        "counts": result.counts,
        "figures": {name: len(faults) for name, faults in result.faults.items()},
        "faults": {name: faults for name, faults in result.faults.items() if faults},
        "folder": result.folder,
    }


def show(result: Result) -> None:
    """Print a result for people."""
    console = Console()
    table = Table("what was done", "times", title=f"Chaos, seed {result.requests.seed}")
    for name, times in result.troubles.items():
        table.add_row(name, str(times))
    table.add_section()
    for name, count in result.counts.items():
        table.add_row(name, str(count))
    table.add_section()
    for name, faults in result.faults.items():
        style = "bold red" if faults else "green"
        table.add_row(name, str(len(faults)), style=style)
    console.print(table)
    for name, faults in result.faults.items():
        for fault in faults[:SHOWN]:
            console.print(f"{name}: {fault}", markup=False, highlight=False, soft_wrap=True)
        if len(faults) > SHOWN:
            console.print(f"{name}: {len(faults) - SHOWN} more")
    if result.folder:
        console.print(f"logs and ledger: {result.folder}", markup=False)
