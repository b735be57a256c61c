"""`python -m benchmarks NAME`: one benchmark, as a table or as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from . import (
    asynchronous,
    capacity,
    clearing,
    commands,
    dashboard,
    drain,
    enqueue,
    growth,
    kinds,
    latency,
    limits,
    old_snapshot,
    parts,
    peers,
    processes,
    recurring,
    report,
    rest,
    scrape,
    spread,
    unknown,
)
from .pairs import compare, steps
from .server import NotDurableError, server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .pairs import Case, Row
    from .server import Server

BENCHMARKS: dict[str, Callable[[Server, float], Iterator[Case]]] = {
    "enqueue": enqueue.cases,
    "asynchronous": asynchronous.cases,
    "drain": drain.cases,
    "latency": latency.cases,
    "parts": parts.cases,
    "idle": rest.idle_cases,
    "memory": rest.memory_cases,
    "growth": growth.cases,
    "old_snapshot": old_snapshot.cases,
    "limits": limits.cases,
    "clear": clearing.cases,
    "recurring": recurring.cases,
    "unknown": unknown.cases,
    "processes": processes.cases,
    "spread": spread.cases,
    "commands": commands.cases,
    "web": dashboard.cases,
    "scrape": scrape.cases,
    "web_drain": dashboard.drain_cases,
    "async": kinds.asynchronous_cases,
    "kinds": kinds.cases,
    "capacity": capacity.cases,
}

_WHAT = TextColumn("{task.description}")


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("name", type=click.Choice([*BENCHMARKS, "peers"]))
@click.option("--database-url", help="A server to measure on, in databases of our own making.")
@click.option("--pairs", default=7, show_default=True, help="How often each side runs.")
@click.option("--scale", default=1.0, show_default=True, help="Multiplies the numbers of jobs.")
@click.option("--case", "wanted", multiple=True, help="Only cases whose names hold this text.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.option(
    "--part",
    "of_peers",
    multiple=True,
    type=click.Choice(list(peers.PARTS)),
    help="With peers: measure this alone.",
)
@click.option("--write", is_flag=True, help="Write docs/evidence/peers.md (with peers).")
def main(  # noqa: PLR0913, PLR0917 - the options of a command
    name: str,
    database_url: str | None,
    pairs: int,
    scale: float,
    wanted: tuple[str, ...],
    of_peers: tuple[str, ...],
    as_json: bool,  # noqa: FBT001 - a flag of the command line
    write: bool,  # noqa: FBT001 - a flag of the command line
) -> None:
    """Measure jobsd beside the driver alone, in turns, and print medians of the ratios.

    `peers` measures it beside other queues; there --pairs is how many rounds are run.
    """
    if of_peers and (name != "peers" or write):
        raise click.UsageError("--part is for peers, whose page (--write) has all parts")
    others = peers.chosen(wanted) if name == "peers" else []
    try:
        with server(database_url) as measured:
            if others:
                form = "json" if as_json else "page" if write else "table"
                wanted_parts = peers.Wanted(of_peers or tuple(peers.PARTS), pairs, scale)
                peers.measure(measured, others, wanted_parts, form)
                return
            rows = _run(BENCHMARKS[name](measured, scale), wanted, pairs)
            settings = measured.settings
    except NotDurableError as error:
        raise click.ClickException(str(error)) from error
    if as_json:
        click.echo(report.as_json(name, rows, settings))
    else:
        report.show(name, rows, settings)


def _run(cases: Iterator[Case], wanted: tuple[str, ...], pairs: int) -> list[Row]:
    # Without a thread of its own for the bar: what is measured forks.
    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), _WHAT)
    console = Console(stderr=True)
    with Progress(*columns, console=console, auto_refresh=False, transient=True) as progress:
        # One after the other: a case may keep a full database until the next is asked for.
        return [
            _run_one(case, pairs, progress)
            for case in cases
            if not wanted or any(text in case.name for text in wanted)
        ]


def _run_one(case: Case, pairs: int, progress: Progress) -> Row:
    task = progress.add_task(case.name, total=steps(case, pairs))
    on_terminal = progress.console.is_terminal

    def step(what: str) -> None:
        progress.update(task, description=what, refresh=on_terminal)
        progress.advance(task)

    row = compare(case, pairs, step)
    progress.remove_task(task)
    return row


if __name__ == "__main__":
    main(prog_name="python -m benchmarks")
