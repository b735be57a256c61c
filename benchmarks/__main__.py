"""`python -m benchmarks NAME`: one benchmark, as a table or as JSON."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from . import drain, enqueue, latency, report
from .pairs import compare, steps
from .server import NotDurableError, server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .pairs import Case, Row
    from .server import Server

BENCHMARKS: dict[str, Callable[[Server, float], Iterator[Case]]] = {
    "enqueue": enqueue.cases,
    "drain": drain.cases,
    "latency": latency.cases,
}


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("name", type=click.Choice([*BENCHMARKS]))
@click.option("--database-url", help="A server to measure on, in databases of our own making.")
@click.option("--pairs", default=7, show_default=True, help="How often each side runs.")
@click.option("--scale", default=1.0, show_default=True, help="Multiplies the numbers of jobs.")
@click.option("--case", "wanted", multiple=True, help="Only cases whose names hold this text.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def main(  # noqa: PLR0913, PLR0917 - the options of a command
    name: str,
    database_url: str | None,
    pairs: int,
    scale: float,
    wanted: tuple[str, ...],
    as_json: bool,  # noqa: FBT001 - a flag of the command line
) -> None:
    """Measure jobsd beside the driver alone, in turns, and print medians of the ratios."""
    try:
        with server(database_url) as measured:
            cases = [
                case
                for case in BENCHMARKS[name](measured, scale)
                if not wanted or any(text in case.name for text in wanted)
            ]
            rows = _run(cases, pairs)
            settings = measured.settings
    except NotDurableError as error:
        raise click.ClickException(str(error)) from error
    if as_json:
        click.echo(report.as_json(name, rows, settings))
    else:
        report.show(name, rows, settings)


def _run(cases: list[Case], pairs: int) -> list[Row]:
    # Without a thread of its own for the bar: what is measured forks.
    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, auto_refresh=False, transient=True) as progress:
        task = progress.add_task("", total=sum(steps(case, pairs) for case in cases))
        done = 0

        def step(what: str) -> None:
            nonlocal done
            progress.update(task, description=what, completed=done, refresh=sys.stderr.isatty())
            done += 1

        return [compare(case, pairs, step) for case in cases]


if __name__ == "__main__":
    main(prog_name="python -m benchmarks")
