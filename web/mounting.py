"""The settings of a dashboard, from the configuration of a project."""

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from jobsd.configuration import flags, folder, listed, load, users
from jobsd.configuration.options import Options
from jobsd.configuration.target import find_target
from jobsd.database.connection import Target

from .application import Application
from .settings import LIVE, LOOPBACK, Authorize, Settings


def mounted(authorize: Authorize | None, **settings: Any) -> Application:  # noqa: ANN401
    """Return the dashboard of the project in the working folder, to be mounted."""
    root = folder.project_root(Path.cwd(), os.environ)
    options = load.load_for_commands(root, os.environ, flags.Flags())
    made = settings_of(options, os.environ, lambda: find_target(root, os.environ))
    # The program that mounts it determines its path.
    made = replace(made, path="")
    if not options.web.hosts:
        made = replace(made, hosts=None)
    if settings.get("live", "poll") not in LIVE:
        raise ValueError(f"live is {settings['live']!r}; expected one of {', '.join(LIVE)}")
    if given := settings.pop("target", None):
        settings["target"] = lambda: given
    return Application(replace(made, authorize=authorize, open_role=None, **settings))


def served(
    options: Options, environ: Mapping[str, str], bind: str, target: Callable[[], Target]
) -> Application:
    """Return the dashboard as we serve it ourselves, at `bind`.

    Without users every visitor may do everything: the caller has made sure that only this
    machine can reach it.
    """
    made = settings_of(options, environ, target)
    role = None if made.users or made.trusted_proxies else "admin"
    host = bind.rpartition(":")[0].lower()
    hosts = LOOPBACK | (made.hosts or frozenset()) | {host}
    return Application(replace(made, open_role=role, hosts=hosts, live="sse"))


def settings_of(
    options: Options, environ: Mapping[str, str], target: Callable[[], Target]
) -> Settings:
    """Return the settings in the configuration; `target` is the queue's database."""
    web = options.web

    def find() -> Target:
        # The schema is the queue's; a separate URL may lead to a replica, or use another role.
        return (
            Target(web.database_url, options.database.schema) if web.database_url else target()
        )

    return Settings(
        target=find,
        path=web.path,
        environment=options.environment,
        users=users.users_of(web.users, environ),
        hosts=frozenset(map(str.lower, web.hosts)),
        trusted_header=web.trusted_header,
        trusted_proxies=web.trusted_proxies,
        read_only=web.read_only,
        alive_threshold_s=options.supervisor.process_alive_threshold_s,
        latency_targets_s=options.monitor.latency_targets_s,
        time_zone=options.time_zone,
        filter_arguments=options.jobs.filter_arguments,
        keep_finished=options.jobs.preserve_finished_jobs,
        described=lambda: listed.settings(options.root, environ, flags.Flags()),
    )
