"""`version`: which version this is."""

from __future__ import annotations

import click

from jobsd.daemon.output import Result, Value
from jobsd.daemon.verbs import Verb


@click.command(cls=Verb, examples="version\nversion --json")
def command() -> Result:
    """Print the version."""
    import platform
    from importlib import metadata

    version = metadata.version("jobsd")
    return Result(
        {"version": version, "python": platform.python_version()}, (Value(f"jobsd {version}"),)
    )
