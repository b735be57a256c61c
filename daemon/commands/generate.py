"""`generate`: files for other programs that start ours."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from jobsd.configuration.flags import Flags
from jobsd.configuration.load import load, project_root
from jobsd.daemon import generate
from jobsd.daemon.output import Result, document
from jobsd.daemon.verbs import Noun, Verb

if TYPE_CHECKING:
    from jobsd.configuration.options import Options

_EXAMPLES = """
generate procfile > Procfile
generate crontab | crontab -
"""


@click.group(cls=Noun, examples=_EXAMPLES)
def command() -> None:
    """Write a file for another program from the project's own configuration, to stdout."""


@command.command(cls=Verb, examples="generate procfile > Procfile")
def procfile() -> Result:
    """Write a Procfile: a process for the daemon, and the migration of a release."""
    return document("procfile", "\n".join(generate.procfile(_options())))


@command.command(cls=Verb, examples="generate crontab | crontab -")
def crontab() -> Result:
    """Write a crontab that runs the recurring tasks where no daemon can.

    A task with a `class` is performed in a process of its own. One with a `command` is
    enqueued for a worker, once a scheduler has loaded it.
    """
    return document("crontab", "\n".join(generate.crontab(_options())))


def _options() -> Options:
    return load(project_root(Path.cwd(), os.environ), os.environ, Flags())
