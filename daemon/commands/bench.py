"""`bench`: a quick self-test."""

import click

from jobsd.daemon.cli import output, verbs
from jobsd.daemon.cli.parameters import whole
from jobsd.daemon.cli.project import Project

_EXAMPLES = """
bench
bench --jobs 100000 --threads 5
"""


@click.command(cls=verbs.Verb, examples=_EXAMPLES)
@click.option(
    "--jobs",
    type=whole(1, 10_000_000),
    default=20_000,
    show_default=True,
    help="How many.",
)
@click.option(
    "--threads",
    type=whole(1, 256),
    default=3,
    show_default=True,
    help="Of the worker.",
)
@verbs.on_project
def command(project: Project, jobs: int, threads: int) -> output.Result:
    """Enqueue and drain no-op jobs with one worker in this process; prints jobs/s.

    It creates a schema of its own and drops it afterwards; your queue is not touched.
    """
    from jobsd.daemon.cli.bench import run_trial

    project.makes = True
    with project.session(any_schema=True) as session:
        result = run_trial(session, jobs, threads)
    return output.facts(
        {
            "jobs": jobs,
            "threads": threads,
            "enqueued_per_s": round(jobs / result.enqueue_s),
            "drained_per_s": round(jobs / result.drain_s),
        }
    )
