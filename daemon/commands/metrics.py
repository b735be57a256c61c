"""`metrics`: what Prometheus would scrape, once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from jobsd.daemon.verbs import Verb, as_json, on_project

if TYPE_CHECKING:
    from jobsd.daemon.project import Project


@click.command(cls=Verb, examples="metrics\nmetrics --openmetrics")
@click.option("--openmetrics", is_flag=True, help="In the format OpenMetrics.")
@as_json
@on_project
def command(project: Project, *, openmetrics: bool, as_json: bool) -> None:
    """Print the metrics once, in the format of Prometheus.

    Gauges are the database's. Counters are those of the tree that runs on this machine,
    asked of its monitor, and left out when none answers.
    """
    import sys

    from jobsd.daemon.counted import counted_here
    from jobsd.daemon.output import print_json
    from jobsd.instruments.metrics import exposition, plain
    from jobsd.supervisor.monitor.gauges import database_figures

    with project.session() as session:
        figures = database_figures(session)
        told = counted_here(session, project.options)
    if as_json:
        print_json(plain(figures, told))
        return
    text, _ = exposition(None, figures, openmetrics=openmetrics, published=told)
    sys.stdout.write(text.decode())
