"""`version`: which version this is."""

import click

from jobsd.daemon.cli import output, verbs
from jobsd.machine import PROGRAM_VERSION


@click.command(cls=verbs.Verb, examples="version\nversion --json")
def command() -> output.Result:
    """Print the version."""
    import platform

    facts = {"version": PROGRAM_VERSION, "python": platform.python_version()}
    return output.Result(facts, (output.Value(f"jobsd {PROGRAM_VERSION}"),))
