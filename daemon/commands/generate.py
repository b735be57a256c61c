"""`generate`: files for other programs, such as service managers, shells and man."""

import os
from collections.abc import Callable

import click

from jobsd.daemon.cli import completion
from jobsd.daemon.cli.output import Result, document
from jobsd.daemon.cli.verbs import Noun, Project, Verb, also

from . import init

_EXAMPLES = """
generate procfile > Procfile
generate kubernetes | kubectl apply -f -
generate completions fish > ~/.config/fish/completions/jobs.fish
"""


@click.group(cls=Noun, examples=_EXAMPLES)
def command() -> None:
    """Print a file for another program, made from the project's configuration."""


@command.command(cls=Verb, examples="generate procfile > Procfile")
def procfile() -> Result:
    """Write a Procfile that migrates, and then runs the daemon."""
    return _made("procfile")


@command.command(cls=Verb, examples="generate crontab | crontab -")
def crontab() -> Result:
    """Write a crontab that runs the recurring tasks without a daemon.

    Each task runs in a process of its own; nothing is enqueued.
    """
    return _made("crontab")


@command.command(cls=Verb, examples="generate dokku > app.json")
def dokku() -> Result:
    """Write an app.json for Dokku: processes, migration, health check."""
    return _made("dokku")


@command.command(cls=Verb, examples="generate kamal >> config/deploy.yml")
def kamal() -> Result:
    """Write the role `job` for Kamal's config/deploy.yml."""
    return _made("kamal")


@command.command(
    cls=Verb,
    examples="generate systemd | sudo tee /etc/systemd/system/jobsd-shop.service",
)
def systemd() -> Result:
    """Write a unit for systemd that runs this project.

    It uses this Python, and runs as the owner of the project's folder, or as `jobsd` if that is
    root. It reads the URL of the database from /etc/jobsd/env.
    """
    return _made("systemd")


@command.command(cls=Verb, examples="generate dockerfile > Dockerfile")
def dockerfile() -> Result:
    """Write a Dockerfile with the project in /app, to run the daemon."""
    return _made("dockerfile")


@command.command(cls=Verb, examples="generate compose > compose.yaml")
def compose() -> Result:
    """Write a compose.yaml that migrates, and then runs the daemon."""
    return _made("compose")


@command.command(cls=Verb, examples="generate kubernetes | kubectl apply -f -")
def kubernetes() -> Result:
    """Write manifests for Kubernetes: a Job to migrate, Deployments.

    Each entry of `workers` gets a Deployment; another one runs dispatchers and scheduler. They
    read the URL of the database from the Secret `jobsd`, key `database-url`.
    """
    return _made("kubernetes")


@command.command(cls=Verb, examples="generate grafana > jobsd.json")
def grafana() -> Result:
    """Write a Grafana dashboard that shows all metrics of jobsd."""
    return _made("grafana")


@command.command(cls=Verb, examples="generate prometheus > jobsd.rules.yml")
def prometheus() -> Result:
    """Write alerts for Prometheus; comments at the top show how to scrape this project."""
    return _made("prometheus")


@command.command(
    cls=Verb,
    examples="generate completions fish > ~/.config/fish/completions/jobs.fish",
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
    from jobsd.daemon.generate.manual import page

    return document("man", page())


command.add_command(also(init.command, "init", "generate project"))


def _made(kind: str) -> Result:
    """Return the file of this kind, made from the project's configuration."""
    from jobsd.daemon.generate import orchestration, platforms, service_unit

    project = Project()
    makers: dict[str, Callable[[], str]] = {
        "compose": lambda: orchestration.compose(project.options).rstrip(),
        "crontab": lambda: "\n".join(platforms.crontab(project.read_with_code())),
        "dockerfile": lambda: orchestration.dockerfile(project.options).rstrip(),
        "dokku": lambda: platforms.dokku(project.options),
        "grafana": lambda: platforms.grafana().rstrip(),
        "kamal": lambda: "\n".join(platforms.kamal(project.options)),
        "kubernetes": lambda: orchestration.kubernetes(project.read_options()).rstrip(),
        "procfile": lambda: "\n".join(platforms.procfile(project.options)),
        "prometheus": lambda: "\n".join(platforms.prometheus(project.options)),
        "systemd": lambda: service_unit.unit(project.options, os.environ),
    }
    return document(kind, makers[kind]())
