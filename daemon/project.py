"""What a command works on: a folder, its configuration, its database, its jobs."""

from __future__ import annotations

import contextlib
import gc
import os
import sys
from collections.abc import Generator
from functools import cached_property
from typing import TYPE_CHECKING

from jobsd.errors import DatabaseUnreachableError

from .program import error, note
from .statuses import UNREACHABLE

if TYPE_CHECKING:
    from jobsd.configuration.flags import Flags
    from jobsd.configuration.load import Examined
    from jobsd.configuration.options import Options
    from jobsd.configuration.target import Database
    from jobsd.database.connection import Session, Target
    from jobsd.embedded import Server
    from jobsd.operations.shown_arguments import ShownArguments

ANSWER_S = 3.5
"""How long a command waits for its connection: its caller gets an error within 4 s."""


class Project:
    """The project that a command was called in. Everything is read when it is first needed.

    `given` are flags of `start`, by their names with underscores.
    """

    def __init__(self, **given: str | bool | tuple[str, ...] | None) -> None:
        from pathlib import Path

        from jobsd.configuration.folder import project_root

        self.environ = os.environ
        self.called_in = Path.cwd()
        self.root = project_root(self.called_in, os.environ)
        self._given = given

    @cached_property
    def flags(self) -> Flags:
        """The flags that were given."""
        from jobsd.configuration.flags import Flags

        return Flags(**self._given)

    @cached_property
    def options(self) -> Options:
        """The configuration, without the recurring tasks.

        Raises:
            ConfigurationError: with all its faults.
        """
        from jobsd.configuration.load import load_for_commands

        return load_for_commands(self.root, self.environ, self.flags)

    def read_options(self) -> Options:
        """Return the whole configuration as it is now, with the recurring tasks.

        Raises:
            ConfigurationError: with all its faults.
        """
        from jobsd.configuration.load import load

        return load(self.root, self.environ, self.flags)

    def examine(self) -> Examined:
        """Return the configuration with its faults: nothing is raised for these."""
        from jobsd.configuration.load import examine

        return examine(self.root, self.environ, self.flags)

    @cached_property
    def database(self) -> Database:
        """The database, which may not run yet if it is embedded.

        Raises:
            ConfigurationError: when there is none.
        """
        from jobsd.configuration.target import database

        return database(self.options, self.environ, _report)

    @property
    def embedded(self) -> Server:
        """The embedded server of the project, whether it is used or not."""
        from jobsd.configuration.target import embedded_server

        return embedded_server(self.root, self.environ, _report)

    def target(self, *, makes: bool = False) -> Target:
        """Return the database once it runs; an embedded one has its tables by then.

        Raises:
            ConfigurationError: outside of any project, if there is no server and the command
                does not create one (`makes`).
        """
        from jobsd.configuration.target import require_made

        if not makes:
            require_made(self.database, self.called_in, self.environ)
        self.database.prepare()
        return self.database.target

    @contextlib.contextmanager
    def session(self, *, any_schema: bool = False, makes: bool = False) -> Generator[Session]:
        """Connect to the database; it is also that of the jobs of this process.

        Raises:
            DatabaseUnreachableError: within 4 s.
            SchemaError: when the tables are not as needed, unless `any_schema` is given.
        """
        from jobsd.database.migrate import require

        target = self.target(makes=makes)
        with contextlib.closing(self._connect(target)) as session:
            if not any_schema:
                require(session)
            _let_jobs_use(target)
            yield session

    def load_jobs(self) -> None:
        """Import the modules that define jobs, ours and the project's.

        What they print while they are imported is not the command's output: it goes to stderr.

        Raises:
            ModuleError: for one that can't be imported.
        """
        from jobsd.jobs import finding, registry
        from jobsd.recurring import command_job

        from .shipped import import_shipped_jobs

        import_shipped_jobs()
        try:
            with contextlib.redirect_stdout(sys.stderr):
                registry.load_modules(self.options.imports, self.root)
        finally:
            gc.enable()  # and so the process ends as Python does: see `cli`
        command_job.register(self.options.imports)
        finding.find_target_by(self.target, lambda: self.options.database.schema)

    @cached_property
    def shown_arguments(self) -> ShownArguments:
        """Arguments as the output of commands may show them, by `jobs.filter_arguments`."""
        from jobsd.operations.shown_arguments import ShownArguments

        return ShownArguments(self.options.jobs.filter_arguments, self._positional)

    def _positional(self, class_name: str) -> list[str] | None:
        from jobsd.jobs import registry

        definition = registry.find(class_name) if self._jobs_are_known else None
        takes = None if definition is None else definition.takes
        return None if takes is None else takes.positional

    @cached_property
    def _jobs_are_known(self) -> bool:
        from jobsd.jobs import registry

        try:
            self.load_jobs()
        except registry.ModuleError as error:
            note(f"positional arguments are hidden: {str(error).splitlines()[0]}")
            return False
        return True

    def _connect(self, target: Target) -> Session:
        try:
            return _connect_in_time(target)
        except DatabaseUnreachableError:
            if self.database.server is None:
                raise
            # The last other supervisor has ended meanwhile, and has stopped the server.
            return _connect_in_time(self.target())


def _let_jobs_use(target: Target) -> None:
    """Let jobs of this process use the same database; a client is made when one needs it."""
    from jobsd.jobs import finding

    finding.choose(target)
    if (client := sys.modules.get("jobsd.jobs.client")) is not None:
        client.configure()


def _connect_in_time(target: Target) -> Session:
    """Connect; when that takes too long, end the process.

    Nothing else can interrupt the look-up of a host name, or an attempt to reach one of several
    addresses.
    """
    import threading

    from jobsd.database.connection import connect

    timer = threading.Timer(ANSWER_S, _give_up, (target.url,))
    timer.daemon = True
    timer.start()
    try:
        return connect(target, "jobsd command")
    finally:
        timer.cancel()


def _give_up(url: str) -> None:
    from jobsd.database.connection import redact

    error(f"can't reach the database {redact(url)}: no answer within {ANSWER_S:g} s")
    os._exit(UNREACHABLE)


def _report(message: str) -> None:
    note(f"jobsd: {message}")
