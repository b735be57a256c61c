"""`mcp`: an interface for agents."""

from importlib.util import find_spec

import click

from jobsd import errors
from jobsd.daemon.cli.verbs import Project, Verb, on_project


@click.command(cls=Verb, prints=False, examples="mcp\nmcp --allow-acts")
@click.option("--allow-acts", is_flag=True, help="Offer retry, discard, cancel and pause, too.")
@on_project
def command(project: Project, *, allow_acts: bool) -> int:
    """Serve tools for an agent on stdin and stdout, by the Model Context Protocol.

    They read: status, list, show, failures, doctor, explain. Tools with an effect count the
    jobs first, and act when they are called again; the audit lists them as `mcp`. It ends with
    stdin.
    """
    if find_spec("mcp") is None:
        fault = errors.Fault(
            "`mcp` needs a package that is not installed", hint="pip install 'jobsd[mcp]'"
        )
        raise errors.ConfigurationError((fault,))
    from jobsd.daemon.agents.serving import serve

    _ = project.options
    project.gives_up = False
    serve(project, acts=allow_acts)
    return 0
