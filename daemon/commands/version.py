"""`version`: which version this is."""

import click

from jobsd.daemon.output import Result, Value
from jobsd.daemon.verbs import Verb
from jobsd.machine import PROGRAM_VERSION


@click.command(cls=Verb, examples="version\nversion --json")
def command() -> Result:
    """Print the version."""
    import platform

    facts = {"version": PROGRAM_VERSION, "python": platform.python_version()}
    return Result(facts, (Value(f"jobsd {PROGRAM_VERSION}"),))
