"""`start`: run the daemon."""

from __future__ import annotations

import click

from jobsd.configuration.flags import Flags
from jobsd.daemon.verbs import Verb

_EXAMPLES = """
start
start --queues urgent,mail_* --only worker
start --import app.jobs --metrics-bind off
start -c config/other.yml --log-format json
"""


@click.command(cls=Verb, examples=_EXAMPLES)
@click.option("-c", "--config", metavar="FILE", help="Env: JOBSD_CONFIG; config/queue.yml.")
@click.option(
    "-r",
    "--recurring",
    metavar="FILE",
    help="Env: JOBSD_RECURRING_SCHEDULE; config/recurring.yml.",
)
@click.option(
    "--skip-recurring",
    is_flag=True,
    default=None,
    help="Start no scheduler. Env: JOBSD_SKIP_RECURRING.",
)
@click.option("--only", metavar="KIND[,KIND]", help="Start worker, dispatcher, scheduler only.")
@click.option("--queues", metavar="LIST", help="The queues of all workers: urgent,mail_*")
@click.option("--pidfile", metavar="FILE", help="Refuse to run twice: exit 75.")
@click.option(
    "--metrics-bind", metavar="ADDR|off", help="Env: JOBSD_METRICS_BIND; 127.0.0.1:9394."
)
@click.option("--log-format", metavar="FORMAT", help="json or console. Env: JOBSD_LOG_FORMAT.")
@click.option("--log-level", metavar="LEVEL", help="Env: JOBSD_LOG_LEVEL; info.")
@click.option(
    "--log-jobs",
    is_flag=True,
    default=None,
    help="Sum up nothing that repeats. Env: JOBSD_LOG_JOBS.",
)
@click.option("--database-url", metavar="URL", help="Env: QUEUE_DATABASE_URL, DATABASE_URL.")
@click.option(
    "--import", "imports", metavar="MODULE", multiple=True, help="A module that defines jobs."
)
@click.option("--env", "environment", metavar="NAME", help="Env: JOBSD_ENV; development.")
def command(
    imports: tuple[str, ...], environment: str | None, **said: str | bool | None
) -> int:
    """Run the daemon in the foreground: supervisor, dispatchers, workers, scheduler.

    A flag beats its variable, a variable beats the file. The files are read again at HUP,
    and the workers replaced one by one; TERM and INT stop in order, QUIT at once.
    """
    import os
    from functools import partial
    from pathlib import Path

    from jobsd.configuration.load import load, project_root
    from jobsd.daemon.launch import launch

    if environment is not None:
        # The whole tree, jobs included, and each reload find it there.
        os.environ["JOBSD_ENV"] = environment
    flags = Flags(imports=imports, **said)  # type: ignore[arg-type]
    read = partial(load, project_root(Path.cwd(), os.environ), os.environ, flags)
    return launch(read(), os.environ, read)
