"""Files for other programs that start ours, made from the project's own configuration."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from math import ceil
from typing import TYPE_CHECKING

from jobsd.clock import utc_now
from jobsd.configuration.options import TRYING, Options
from jobsd.text import shipped_text

from . import called

if TYPE_CHECKING:
    from jobsd.recurring.definition import TaskDefinition

_FIELDS = 5
"""Fields of a line of a crontab, which has no seconds."""
_KAMAL_DRAIN_S = 30
"""Kamal's own `drain_timeout`, which other roles may rely on."""


def procfile(options: Options) -> Iterator[str]:
    """Yield the lines of a Procfile: the daemon, and the migration that a release runs."""
    program = called.in_project(options)
    yield f"release: {program} db migrate"
    yield f"jobs: {program} start"


def dokku(options: Options) -> str:
    """Return an app.json for Dokku: one daemon, the migration of a release, a check."""
    program = called.in_project(options)
    asked = [*shlex.split(program), "status", "--here"]
    ready = {"type": "startup", "name": "jobs run", "command": asked}
    app = {
        "formation": {"jobs": {"quantity": 1}},
        "scripts": {"dokku": {"predeploy": f"{program} db migrate"}},
        "healthchecks": {"jobs": [{**ready, "initialDelay": 5, "attempts": 5, "wait": 5}]},
    }
    return json.dumps(app, indent=2)


def kamal(options: Options) -> Iterator[str]:
    """Yield the lines of a Kamal deploy.yml that are ours: the role of the daemon."""
    program = called.in_project(options)
    environment = options.environment
    if environment in TRYING:
        environment = "production"
    # The container is killed after this time: after the drain, and the rest of an end.
    stop_s = ceil(options.supervisor.shutdown_timeout_s) + 5
    yield "# For config/deploy.yml. Before each deploy, migrate (.kamal/hooks/pre-deploy):"
    yield f'#   kamal app exec --version "$KAMAL_VERSION" "{program} db migrate"'
    yield "servers:"
    yield "  job:"
    yield "    hosts:"
    yield "      - 192.168.0.1"
    yield f"    cmd: {program} start"
    yield "    options:"
    yield f"      stop-timeout: {stop_s}"
    yield f"      health-cmd: {program} status --here"
    yield "      health-interval: 10s"
    # Kamal stops a role without a proxy after this, whatever the container's own time is.
    yield f"drain_timeout: {max(stop_s, _KAMAL_DRAIN_S)}"
    yield "env:"
    yield "  clear:"
    yield f"    JOBSD_ENV: {environment}"
    yield "  secret:"
    yield "    - DATABASE_URL"


def prometheus(options: Options) -> Iterator[str]:
    """Yield the rules for Prometheus, with comments on how to load them and to scrape us."""
    yield "# For prometheus.yml:"
    yield "#   rule_files: [jobsd.rules.yml]"
    yield "#   scrape_configs:"
    yield "#     - job_name: jobsd"
    yield f'#       static_configs: [{{targets: ["{options.monitor.bind or "HOST:PORT"}"]}}]'
    yield "#"
    yield from shipped_text("shipped/prometheus/jobsd.rules.yml").splitlines()


def grafana() -> str:
    """Return the dashboard for Grafana, which asks for the Prometheus at its import."""
    return shipped_text("shipped/grafana/jobsd.json")


def crontab(options: Options) -> Iterator[str]:
    """Yield the lines of a crontab that runs the recurring tasks without a daemon.

    Each run holds a lock, so that none begins while the one before it still runs. Cron mails a
    command's output on stderr: warnings and errors.
    """
    yield "# The recurring tasks of this project, for cron instead of a scheduler."
    yield "# Start no scheduler beside it, or each task runs twice: `start --skip-recurring`."
    yield "# MAILTO gets a mail for each run that fails."
    yield "SHELL=/bin/sh"
    variables = {"JOBSD_ENV": options.environment, **called.variables(options)}
    yield from (f"{name}={value}" for name, value in variables.items())
    for task in options.tasks:
        yield ""
        yield from _entry(task, options)


def _entry(task: TaskDefinition, options: Options) -> Iterator[str]:
    from jobsd.schedules import explain

    if task.description:
        yield f"# {' '.join(task.description.split())}"
    if not task.enabled:
        yield f"# {task.key} is disabled"
        return
    facts = explain(task.phrase, task.time_zone, 1, utc_now())
    crons = [cron for cron in facts.get("crons") or [facts["cron"]] if cron]
    if not crons or any(len(cron.split()) != _FIELDS for cron in crons):
        yield f"# {task.key}: a crontab cannot express {task.phrase!r}"
        return
    if facts["time_zone"] != "UTC":
        yield f"# In {facts['time_zone']}; where cron does not know CRON_TZ, set its own zone."
    yield f"CRON_TZ={facts['time_zone']}"
    for cron in crons:
        yield f"{cron} {_command(task, options)}"


def _command(task: TaskDefinition, options: Options) -> str:
    from jobsd.configuration.tree_name import tree_of

    program = called.on_this_machine(options)
    if task.class_name is None:
        run = f"{program} recurring run {shlex.quote(task.key)} --here"
    else:
        given = task.arguments_json
        empty = json.loads(given) in ([], {})
        run = f"{program} perform {shlex.quote(task.class_name)}"
        run += "" if empty else f" {shlex.quote(given)}"
    lock = shlex.quote(f"/tmp/jobsd-{tree_of(options)}-{task.key}.lock")  # noqa: S108 - an empty file
    line = f"cd {shlex.quote(str(options.root))} && flock -n {lock} {run} --quiet >/dev/null"
    # Cron treats a bare percent sign as the end of the line.
    return line.replace("%", "\\%")
