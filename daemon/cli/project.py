"""The project of a command: a folder, its configuration, its database, its jobs."""

from __future__ import annotations

import contextlib
import gc
import os
import sys
from collections.abc import Generator
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

from jobsd import configuration, database, errors, jobs, operations, recurring
from jobsd.daemon import program, statuses

if TYPE_CHECKING:
    from jobsd.configuration.load import Examined
    from jobsd.configuration.options import Options
    from jobsd.configuration.target import Database
    from jobsd.database.connection import Session, Target
    from jobsd.embedded import Server

_NAME = "jobsd command"
ANSWER_S = 3.5
"""How long a command waits for its connection: its caller gets an error within 4 s."""


class Project:
    """The project that a command was called in. Everything is read when it is first needed.

    `given` are flags of `start`, by their names with underscores.
    """

    makes = False
    """Whether the command makes an embedded server where there is none: few do."""

    def __init__(self, **given: str | bool | tuple[str, ...] | None) -> None:
        from pathlib import Path

        self.environ = os.environ
        self.root = configuration.folder.project_root(Path.cwd(), os.environ)
        self._given = given
        self.gives_up = True
        """Whether the process ends where the database does not answer in time."""

    @cached_property
    def flags(self) -> configuration.flags.Flags:
        """The flags that were given."""
        return configuration.flags.Flags(**self._given)

    @cached_property
    def options(self) -> Options:
        """The configuration, without the recurring tasks.

        Raises:
            ConfigurationError: with all its faults.
        """
        return configuration.load.load_for_commands(self.root, self.environ, self.flags)

    def read_options(self) -> Options:
        """Read the whole configuration again, with the recurring tasks.

        Raises:
            ConfigurationError: with all its faults.
        """
        return configuration.load.load(self.root, self.environ, self.flags)

    def read_with_code(self) -> Options:
        """Read the whole configuration again, with the recurring tasks of file and code.

        Raises:
            ConfigurationError: with all its faults.
            ModuleError: for a module that can't be imported.
        """
        options = self.read_options()
        self.load_jobs()
        tasks = recurring.code_tasks.with_code_tasks(
            options.tasks, options.time_zone, options.root
        )
        return replace(options, tasks=tasks)

    def examine(self) -> Examined:
        """Return the configuration with its faults, without raising an error."""
        return configuration.load.examine(self.root, self.environ, self.flags)

    @cached_property
    def database(self) -> Database:
        """The database, which may not run yet if it is embedded.

        Raises:
            ConfigurationError: if there is none.
        """
        return configuration.target.database(
            self.options, self.environ, _report, makes=self.makes
        )

    @property
    def embedded(self) -> Server:
        """The embedded server of the project, whether it is used or not."""
        return configuration.target.embedded_server(self.root, self.environ, _report)

    def target(self, *, any_schema: bool = False) -> Target:
        """Return the database once it runs; an embedded one has its tables by then.

        Raises:
            ConfigurationError: if there is none, and the command does not make one (`makes`).
            SchemaError: when the tables of an embedded one can't be made as needed, unless
                `any_schema` is given.
        """
        try:
            self.database.prepare()
        except errors.SchemaError:
            if not any_schema:
                raise
        return self.database.target

    @contextlib.contextmanager
    def session(self, *, any_schema: bool = False) -> Generator[Session]:
        """Connect to the database; it is also that of the jobs of this process.

        Raises:
            DatabaseUnreachableError: within 4 s.
            SchemaError: if the tables are not as needed, unless `any_schema` is given.
        """
        target = self.target(any_schema=any_schema)
        with contextlib.closing(self._connect(target)) as session:
            if not any_schema:
                database.migrate.require(session)
            _let_jobs_use(target)
            yield session

    def load_jobs(self) -> None:
        """Import the modules that define jobs, ours and the project's.

        Their output during the import is not the command's output: it goes to stderr.

        Raises:
            ModuleError: for a module that can't be imported.
        """
        from jobsd.daemon.shipped import import_shipped_jobs

        import_shipped_jobs()
        try:
            with contextlib.redirect_stdout(sys.stderr):
                jobs.registry.load_modules(self.options.imports, self.root)
        finally:
            gc.enable()  # and so the process ends as Python does: see `cli`
        recurring.command_job.register(self.options.imports)
        jobs.default_database.find_target_by(self.target, lambda: self.options.database.schema)

    @cached_property
    def shown_arguments(self) -> operations.shown_arguments.ShownArguments:
        """Arguments as the output of commands may show them: see `jobs.filter_arguments`."""
        return operations.shown_arguments.ShownArguments(
            self.options.jobs.filter_arguments, self._positional
        )

    def _positional(self, class_name: str) -> list[str] | None:
        definition = jobs.registry.find(class_name) if self._jobs_are_known else None
        takes = None if definition is None else definition.takes
        return None if takes is None else takes.positional

    @cached_property
    def _jobs_are_known(self) -> bool:
        try:
            self.load_jobs()
        except jobs.registry.ModuleError as error:
            program.note(f"positional arguments are hidden: {str(error).splitlines()[0]}")
            return False
        return True

    def _connect(self, target: Target) -> Session:
        connect = _connect_in_time if self.gives_up else database.connection.connect
        try:
            return connect(target, _NAME)
        except errors.DatabaseUnreachableError:
            if self.database.server is None:
                raise
            # The last other supervisor has ended meanwhile, and has stopped the server.
            return connect(self.target(), _NAME)


def _let_jobs_use(target: Target) -> None:
    """Let jobs of this process use the same database; a client is made when one needs it."""
    jobs.default_database.choose(target)
    if (client := sys.modules.get("jobsd.enqueueing.client")) is not None:
        client.configure()


def _connect_in_time(target: Target, name: str) -> Session:
    """Connect; if that takes too long, end the process.

    No signal can interrupt the look-up of a host name, or an attempt to reach one of several
    addresses.
    """
    import threading

    connect = database.connection.connect
    timer = threading.Timer(ANSWER_S, _give_up, (target.url,))
    timer.daemon = True
    timer.start()
    try:
        return connect(target, name)
    finally:
        timer.cancel()


def _give_up(url: str) -> None:
    redacted = database.connection.redact(url)
    program.error(f"can't reach the database {redacted}: no answer within {ANSWER_S:g} s")
    os._exit(statuses.UNREACHABLE)


def _report(message: str) -> None:
    program.note(f"jobsd: {message}")
