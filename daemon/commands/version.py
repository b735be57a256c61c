"""`version`: which version this is."""

from __future__ import annotations

import click

from jobsd.daemon.verbs import Verb, as_json


@click.command(cls=Verb, examples="version\nversion --json")
@as_json
def command(*, as_json: bool) -> None:
    """Print the version."""
    import platform
    from importlib import metadata

    from jobsd.daemon.output import print_json, print_line

    version = metadata.version("jobsd")
    if as_json:
        print_json({"version": version, "python": platform.python_version()})
    else:
        print_line(f"jobsd {version}")
