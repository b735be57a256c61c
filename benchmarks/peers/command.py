"""Measures the peers that are wanted, and tells or writes what they came to."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.table import Table

from . import page, rounds
from .catalog import PEERS

if TYPE_CHECKING:
    from benchmarks.server import Server

    from .catalog import Peer

PAGE = Path(__file__).resolve().parents[2] / "docs" / "evidence" / "peers.md"


def chosen(wanted: tuple[str, ...]) -> list[Peer]:
    """Return the peers whose names hold one of these texts; all, where there is none.

    Raises:
        click.ClickException: when no peer's name does.
    """
    found = [
        peer
        for peer in PEERS
        if not wanted or any(text.lower() in peer.name.lower() for text in wanted)
    ]
    if not found:
        names = ", ".join(peer.name for peer in PEERS)
        raise click.ClickException(f"no queue is called so; there are {names}")
    return found


def measure(server: Server, peers: list[Peer], wanted: rounds.Wanted, form: str) -> None:
    """Measure what is wanted of these peers.

    `form` is what becomes of the figures: "table", "json", or "page" (the evidence's).
    """
    found = rounds.run(peers, server, wanted, lambda what: click.echo(what, err=True))
    if form == "page":
        text = page.markdown(found, server.settings, wanted.rounds, wanted.scale)
        PAGE.write_text(text, encoding="utf-8")
    if form == "json":
        click.echo(page.as_json(found, server.settings))
    else:
        _show(found)


def _show(found: list[rounds.Found]) -> None:
    console = Console()
    console = console if console.is_terminal else Console(width=220)
    table = Table(title="peers: medians; ** marks the best", title_justify="left")
    names = [name for name in page.COLUMNS if any(name in row.medians() for row in found)]
    table.add_column("queue")
    for name in names:
        table.add_column(page.COLUMNS[name], justify="right")
    for peer, values in page.cells(found, names):
        table.add_row(peer, *values)
    console.print(table)
    for row in found:
        console.print(
            f"{row.peer} {row.version}: {row.problem or row.settings}", highlight=False
        )
