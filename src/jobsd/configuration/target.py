"""Finds the queue's database, for commands and for programs that do not configure one.

The first of: a flag, QUEUE_DATABASE_URL, `database.url` in queue.yml, DATABASE_URL, that of an
application of Django or Flask which `import:` loads, the embedded server. The last is started
when a command needs it, and its tables are kept at the version of this program; those of a
database of the user's are changed on request only.

To make a server is more than to start it: an empty database answers every question wrongly. So
a few commands make one, in development and test only, unless JOBSD_EMBEDDED=1 allows it.

A program other than our commands never starts it, let alone makes it: a web application that
has lost its DATABASE_URL would put its jobs where no worker looks. It joins a server that runs
for the project, and logs that. A tree in such a web server makes none either.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from jobsd import errors
from jobsd.database.connection import OUTAGES, Target
from jobsd.database.migrate import migrate
from jobsd.database.url import passwords
from jobsd.logs import redaction
from jobsd.text import is_on

from . import application, flags, load
from .folder import project_root
from .options import TRYING, Options

if TYPE_CHECKING:
    from jobsd.embedded import Server


_URLS = ("QUEUE_DATABASE_URL", "DATABASE_URL")
_NONE = (
    "no database is configured, none of the project runs, and a program starts none: set"
    " QUEUE_DATABASE_URL or DATABASE_URL, or database.url in config/queue.yml, or call"
    " jobsd.configure(url)"
)
IN_WEB = {"JOBSD_IN_WEB": "tree"}
"""The variable by which a tree knows that a web server has started it."""
_logger = logging.getLogger("jobsd")
"""A program has no log of ours: a warning for it goes to its own."""


def _ignore(_message: str) -> None:
    pass


@dataclass(frozen=True, slots=True)
class Database:
    """The database of the queue; with `server`, on an embedded server that may not run yet."""

    target: Target
    server: Server | None = None

    def prepare(self, report: Callable[[str], None] = _ignore) -> list[str]:
        """Start an embedded server and migrate it; return the names of the steps applied.

        `report` gets a sentence about the transaction that keeps a step waiting.

        Raises:
            EmbeddedServerError: when it can't be started.
            psycopg.OperationalError: when it is stopped again and again.
        """
        if self.server is None:
            return []
        self.server.ensure()
        try:
            return migrate(self.target, report)
        except OUTAGES:
            # The last supervisor that used it has stopped it meanwhile.
            self.server.ensure()
            return migrate(self.target, report)


def database(
    options: Options,
    environ: Mapping[str, str],
    report: Callable[[str], None] = _ignore,
    *,
    makes: bool = False,
) -> Database:
    """Return the database of these options. Connects to nothing, starts no server.

    `report` gets a sentence about each cause of a wait. `makes` is for a command that makes an
    embedded server where there is none.

    Raises:
        NoDatabaseError: when none is configured, and an embedded one may not be used or made.
    """
    configured = application.database(options, environ)
    if configured.url is not None:
        for url in filter(None, (configured.url, configured.listen_url)):
            redaction.hide(passwords(url))
        return Database(
            Target(configured.url, configured.schema, configured.listen_url, configured.wakeups)
        )
    if (fault := _refusal(options, environ)) is not None:
        raise errors.NoDatabaseError((fault,))
    server = embedded_server(options.root, environ, report)
    may_make = _may_make(options, environ)
    if not (makes and may_make) and not server.is_made():
        raise errors.NoDatabaseError((_none_made(options, may_make=may_make),))
    return Database(Target(server.url(), configured.schema, None, configured.wakeups), server)


def embedded_server(
    root: Path, environ: Mapping[str, str], report: Callable[[str], None] = _ignore
) -> Server:
    """Return the embedded server of the project at `root`, whether it is used or not."""
    # Loaded only if no database is configured.
    from jobsd.database.clients import other_clients  # noqa: PLC0415
    from jobsd.embedded import Server, location  # noqa: PLC0415

    return Server(location(root, environ), environ, other_clients, report)


def find_target(cwd: Path, environ: Mapping[str, str]) -> Target:
    """Return the database of a program that configures none itself. Starts nothing.

    Raises:
        ConfigurationError: with the faults of the configuration, or since there is no
            database.
    """
    options = load.load_for_commands(project_root(cwd, environ), environ, flags.Flags())
    if options.database.url is not None:
        return database(options, environ).target
    server = embedded_server(options.root, environ)
    if _refusal(options, environ) is not None or not server.wait_until_ready():
        raise errors.ConfigurationError((errors.Fault(_NONE),))
    _logger.warning(
        "no database is configured: jobs go to the embedded server of %s", options.root
    )
    return Target(server.url(), options.database.schema, None, options.database.wakeups)


def find_schema(cwd: Path, environ: Mapping[str, str]) -> str:
    """Return the schema of a program's tables, in any database.

    Raises:
        ConfigurationError: with the faults of the configuration, but for URLs.
    """
    without = {name: value for name, value in environ.items() if name not in _URLS}
    options = load.load_for_commands(project_root(cwd, environ), without, flags.Flags())
    return options.database.schema


def _may_make(options: Options, environ: Mapping[str, str]) -> bool:
    return _is_allowed(environ) or (
        options.environment in TRYING and not IN_WEB.items() <= environ.items()
    )


def _is_allowed(environ: Mapping[str, str]) -> bool:
    """Return whether the operator allows an embedded server anywhere."""
    given = environ.get("JOBSD_EMBEDDED", "")
    try:
        return is_on(given)
    except ValueError as error:
        fault = errors.Fault(f"{given!r} {error}", "variable JOBSD_EMBEDDED")
        raise errors.ConfigurationError((fault,)) from None


def _none_made(options: Options, *, may_make: bool) -> errors.Fault:
    message = "no database is configured, and none was made here"
    way = (
        "run it in the project's folder, where `start` makes one"
        if may_make
        else "with JOBSD_EMBEDDED=1, `start` makes one"
    )
    return errors.Fault(message, hint=f"{_sources(options)}; or {way}")


def _sources(options: Options) -> str:
    """Return the hint that names each place where a database could have been named."""
    asked = "".join(f", {name}" for name in application.setups(options))
    return (
        "set DATABASE_URL: neither --database-url, QUEUE_DATABASE_URL, database.url in"
        f" {options.config}, nor DATABASE_URL{asked} names one"
    )


def _refusal(options: Options, environ: Mapping[str, str]) -> errors.Fault | None:
    """Refuse an embedded server if the operator forbids it, or systemd started us.

    INVOCATION_ID proves nothing: the terminals of a session under systemd inherit it.
    """
    wanted = environ.get("JOBSD_EMBEDDED", "").strip()
    hint = _sources(options)
    if wanted and not _is_allowed(environ):
        message = (
            f"no database is configured, and JOBSD_EMBEDDED={wanted} forbids an embedded one"
        )
        return errors.Fault(message, "JOBSD_EMBEDDED", hint=hint)
    if not wanted and _started_by_systemd(environ):
        message = (
            "no database is configured, and a service does not start an embedded one by itself"
        )
        return errors.Fault(message, hint=f"{hint}; with JOBSD_EMBEDDED=1 it does")
    return None


def _started_by_systemd(environ: Mapping[str, str]) -> bool:
    by_exec = environ.get("SYSTEMD_EXEC_PID") == str(os.getpid())
    return bool(environ.get("NOTIFY_SOCKET")) or by_exec
