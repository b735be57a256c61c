"""`generate`: files for other programs: for those that start ours, for shells, for man."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from jobsd.daemon import completion
from jobsd.daemon.output import Result, document
from jobsd.daemon.verbs import Noun, Verb

if TYPE_CHECKING:
    from jobsd.configuration.options import Options

_EXAMPLES = """
generate procfile > Procfile
generate crontab | crontab -
generate dokku > app.json
generate dockerfile > Dockerfile
generate kubernetes | kubectl apply -f -
generate prometheus > jobsd.rules.yml
generate completions bash > ~/.local/share/bash-completion/completions/jobs
"""


@click.group(cls=Noun, examples=_EXAMPLES)
def command() -> None:
    """Print a file for another program, made from the project's configuration."""


@command.command(cls=Verb, examples="generate procfile > Procfile")
def procfile() -> Result:
    """Write a Procfile that runs the daemon, and the migration in the release phase."""
    from jobsd.daemon import generate

    return document("procfile", "\n".join(generate.procfile(_options())))


@command.command(cls=Verb, examples="generate crontab | crontab -")
def crontab() -> Result:
    """Write a crontab that runs the recurring tasks where no daemon can.

    Each task runs in a process of its own; nothing is enqueued.
    """
    from jobsd.daemon import generate

    return document("crontab", "\n".join(generate.crontab(_options(tasks=True))))


@command.command(cls=Verb, examples="generate dokku > app.json")
def dokku() -> Result:
    """Write an app.json for Dokku: how many processes `jobs`, the migration, a health check."""
    from jobsd.daemon import generate

    return document("dokku", generate.dokku(_options()))


@command.command(cls=Verb, examples="generate kamal >> config/deploy.yml")
def kamal() -> Result:
    """Write the role `job` for Kamal's config/deploy.yml."""
    from jobsd.daemon import generate

    return document("kamal", "\n".join(generate.kamal(_options())))


@command.command(
    cls=Verb,
    examples="generate systemd | sudo tee /etc/systemd/system/jobsd-shop.service",
)
def systemd() -> Result:
    """Write a unit for systemd that runs this project with this Python.

    The unit runs as the owner of the project's folder, or as `jobsd` where that is root. It
    reads the URL of the database from /etc/jobsd/env.
    """
    from jobsd.daemon import service_unit

    return document("systemd", service_unit.unit(_options(), os.environ))


@command.command(cls=Verb, examples="generate dockerfile > Dockerfile")
def dockerfile() -> Result:
    """Write a Dockerfile that installs the project in /app and runs the daemon."""
    from jobsd.daemon import orchestration

    return document("dockerfile", orchestration.dockerfile(_options()).rstrip())


@command.command(cls=Verb, examples="generate compose > compose.yaml")
def compose() -> Result:
    """Write a compose.yaml that migrates the database and then runs the daemon."""
    from jobsd.daemon import orchestration

    return document("compose", orchestration.compose(_options()).rstrip())


@command.command(cls=Verb, examples="generate kubernetes | kubectl apply -f -")
def kubernetes() -> Result:
    """Write manifests for Kubernetes: a Job that migrates, Deployments of the daemon.

    Each entry of `workers` gets a Deployment; another one runs dispatchers and scheduler. They
    read the URL of the database from the Secret `jobsd`, key `database-url`.
    """
    from jobsd.daemon import orchestration

    return document("kubernetes", orchestration.kubernetes(_options(tasks=True)).rstrip())


@command.command(cls=Verb, examples="generate grafana > jobsd.json")
def grafana() -> Result:
    """Write a Grafana dashboard that shows all metrics of jobsd."""
    from jobsd.daemon import generate

    return document("grafana", generate.grafana().rstrip())


@command.command(cls=Verb, examples="generate prometheus > jobsd.rules.yml")
def prometheus() -> Result:
    """Write the Prometheus alerts; comments in front say how to scrape this project."""
    from jobsd.daemon import generate

    return document("prometheus", "\n".join(generate.prometheus(_options())))


@command.command(
    cls=Verb,
    examples="generate completions bash > ~/.local/share/bash-completion/completions/jobs",
)
@click.argument("shell", type=click.Choice(("bash", "zsh", "fish")))
def completions(shell: str) -> Result:
    """Write the shell completions of commands, options and names.

    Names of queues, classes and tasks and the ids of jobs come from the database, if it
    answers within 200 ms.
    """
    return document("completions", completion.script(shell))


@command.command(cls=Verb, examples="generate man > jobsd.1")
def man() -> Result:
    """Write the manual page, made from the help of all commands."""
    from jobsd.daemon.manual import page

    return document("man", page())


def _options(*, tasks: bool = False) -> Options:
    """Return the project's configuration, with the recurring tasks where they count."""
    from jobsd.configuration.flags import Flags
    from jobsd.configuration.folder import project_root
    from jobsd.configuration.load import load, load_for_commands

    read = load if tasks else load_for_commands
    return read(project_root(Path.cwd(), os.environ), os.environ, Flags())
