"""`web`: the dashboard alone."""

import os

import click

from jobsd import configuration, errors
from jobsd.daemon.cli.verbs import Project, Verb, on_project
from jobsd.daemon.program import note

DEFAULT = "127.0.0.1:9393"


def _address(_context: click.Context, _parameter: click.Parameter, given: str) -> str:
    try:
        address = configuration.kinds.read_bind(given)
    except configuration.faults.Mistake as mistake:
        raise click.BadParameter(f"{mistake.message}; {mistake.hint}") from None
    if address is None:
        raise click.BadParameter("must be HOST:PORT")
    return address


@click.command(cls=Verb, prints=False, examples="web\nweb --bind 127.0.0.1:8080")
@click.option(
    "--bind",
    default=DEFAULT,
    metavar="HOST:PORT",
    show_default=True,
    callback=_address,
    help="The address to serve it on.",
)
@on_project
def command(project: Project, bind: str) -> int:
    """Serve the dashboard until interrupted, whether a daemon runs or not.

    With `web.bind` in queue.yml the daemon serves it instead. On any address but loopback it
    needs users: `web.users`, or JOBSD_WEB_USER with JOBSD_WEB_PASSWORD, or JOBSD_WEB_TOKEN.
    """
    from jobsd.daemon.tree.listener import bound, require_web

    require_web(project.options, os.environ, bind)
    try:
        listener = bound(bind)
    except OSError as error:
        fault = errors.Fault(f"can't listen on {bind}: {error.strerror or error}", "--bind")
        raise errors.ConfigurationError((fault,)) from error
    from jobsd.web.mounting import served  # needs the extra, which is there now
    from jobsd.web.serving import Serving, address_of

    target = project.target()
    address = address_of(listener)
    application = served(project.options, os.environ, address, lambda: target)
    note(f"the dashboard is at http://{address}{project.options.web.path}/ (Ctrl-C ends it)")
    Serving(application, listener).run()
    return 0
