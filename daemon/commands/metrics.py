"""`metrics`: what Prometheus would scrape, once."""

import click

from jobsd.daemon.output import Result, Value
from jobsd.daemon.project import Project
from jobsd.daemon.verbs import Verb, on_project


@click.command(cls=Verb, examples="metrics\nmetrics --openmetrics")
@click.option("--openmetrics", is_flag=True, help="Use the format OpenMetrics.")
@on_project
def command(project: Project, *, openmetrics: bool) -> Result:
    """Print the metrics once, in the format of Prometheus.

    Gauges come from the database. Counters come from the monitor of the daemon on this host,
    and are left out if it does not answer.
    """
    from jobsd.daemon.tree_metrics import metrics_here
    from jobsd.instruments.metrics import exposition, plain
    from jobsd.operations.gauges import database_figures

    with project.session() as session:
        figures = database_figures(session)
        published = metrics_here(session, project.options)
    text, _ = exposition(None, figures, openmetrics=openmetrics, published=published)
    return Result(plain(figures, published), (Value(text.decode().removesuffix("\n")),))
