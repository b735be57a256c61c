"""`plan`: what a number of jobs a day needs, by the configuration and measured costs."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from jobsd.daemon.cli.output import Facts, Pairs, Result, Shown
from jobsd.daemon.cli.parameters import COUNT, DURATION
from jobsd.daemon.cli.verbs import Project, Verb, on_project
from jobsd.operations.capacity import FEATURES, Load, Means, Plan, plan
from jobsd.text import size

if TYPE_CHECKING:
    from jobsd.configuration.options import Options

_EXAMPLES = """
plan --jobs-per-day 20M --keep 7d
plan --jobs-per-day 500k --takes 2s --peak 10
plan --jobs-per-day 1M --with unique --with tags --json
"""


@click.command(cls=Verb, examples=_EXAMPLES)
@click.option(
    "--jobs-per-day", type=COUNT, required=True, metavar="N", help="As 20M, 500k or 1200."
)
@click.option(
    "--keep",
    "keep_s",
    type=DURATION,
    help="How long finished jobs are kept; default: as configured.",
)
@click.option(
    "--takes",
    "takes_s",
    type=DURATION,
    default="100ms",
    show_default=True,
    help="How long a job runs, on average.",
)
@click.option(
    "--peak",
    type=click.FloatRange(min=1),
    metavar="X",
    default=5,
    show_default=True,
    help="The busiest minute's rate, as a multiple of the day's mean.",
)
@click.option(
    "--with",
    "features",
    type=click.Choice(FEATURES),
    metavar="FEATURE",
    multiple=True,
    help=f"What each job has: {', '.join(FEATURES)}.",
)
@on_project
def command(  # noqa: PLR0913 - the options of a command
    project: Project,
    *,
    jobs_per_day: int,
    keep_s: float | None,
    takes_s: float,
    peak: float,
    features: tuple[str, ...],
) -> Result:
    """Estimate cores, memory, WAL and disk for a number of jobs; asks no database.

    The costs of a job were measured; those of your own code come on top.
    """
    options = project.options
    kept_s = options.jobs.clear_finished_jobs_after_s if keep_s is None else keep_s
    if not options.jobs.preserve_finished_jobs:
        kept_s = 0.0
    load = Load(jobs_per_day, kept_s, takes_s, peak, features)
    found = plan(load, _means(options))
    document = {**asdict(load), **asdict(found)}
    return Result(document, (Facts(tuple(document.items()), _for_people(found)),))


def _means(options: Options) -> Means:
    from jobsd.daemon.tree.unattended import clearing_tasks

    workers = sum(each.processes for each in options.workers)
    scheduler = 1 if options.schedules else 0
    children = 1 + len(options.dispatchers) + workers + scheduler
    listening = children - 1 if options.database.listen_url else 0
    return Means(
        at_once=sum(each.processes * each.at_once for each in options.workers),
        processes=1 + children,
        connections=children + listening,
        clears=bool(clearing_tasks(options.tasks)),
    )


def _for_people(found: Plan) -> Pairs:
    at_once = f"{found.at_once_needed:,} at the peak; configured: {found.at_once:,}"
    rates = f"{_rate(found.mean_rate)} on average, {_rate(found.peak_rate)} at the peak"
    cores = f"{found.worker_cores:.2f} at the peak, and those of your own code"
    wal = f"{size(found.wal_bytes_per_day)} a day, {size(found.wal_bytes_per_s)}/s at the peak"
    return (
        ("jobs", Shown(rates)),
        ("at_once", Shown(at_once)),
        ("cores_of_workers", Shown(cores)),
        ("cores_of_server", Shown(f"{found.server_cores:.2f} at the peak")),
        ("memory", Shown(f"{found.memory_mib:,} MiB, and that of your imports")),
        ("connections", Shown(f"{found.connections:,}, and those of your programs")),
        ("WAL", Shown(wal)),
        ("disk", Shown(f"{size(found.disk_bytes)} for {found.kept_jobs:,} finished jobs")),
        *(("warning", Shown(warning)) for warning in found.warnings),
    )


def _rate(rate: float) -> str:
    return f"{rate:,.0f}/s" if rate >= 10 else f"{rate:,.2g}/s"
