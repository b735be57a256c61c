"""Builds each process of a tree from the configuration.

All modules of ours that the children need are imported here, before the first fork: their pages
are shared, and a child starts in milliseconds. The user's are imported in workers and the
scheduler, after it: HUP brings new code, since none of it is in the supervisor.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

from jobsd.configuration import flags
from jobsd.configuration.options import DispatcherOptions, Options, WorkerOptions
from jobsd.configuration.target import Database
from jobsd.daemon import shipped
from jobsd.database.connection import Target
from jobsd.dispatcher.dispatcher import Dispatcher
from jobsd.enqueueing import client
from jobsd.errors import ConfigurationError, EmbeddedServerError, Fault
from jobsd.events.events import emit
from jobsd.jobs import registry, time_limits
from jobsd.logs import logs, redaction
from jobsd.logs.capture import KEPT
from jobsd.processes import lifecycle_hooks, process, recycling
from jobsd.processes.context import Context
from jobsd.processes.outcome_journal import journal_folder
from jobsd.recurring import command_job
from jobsd.recurring.code_tasks import with_code_tasks
from jobsd.scheduler.scheduler import Scheduler
from jobsd.scoreboard.hook_line import HookLine
from jobsd.scoreboard.scoreboard import Scoreboard
from jobsd.supervisor.children import EXIT_CONFIGURATION, ChildSpec
from jobsd.supervisor.hooks_process import HooksProcess
from jobsd.supervisor.monitor.monitor import Monitor
from jobsd.worker.worker import Worker

from . import import_check

if TYPE_CHECKING:
    from jobsd.embedded import Server


POLL_EVERY_S = 2.0


def keep_running(server: Server, scoreboard: Scoreboard) -> None:
    """Restart the server whenever it has crashed, for as long as this process lives.

    A server that was stopped on purpose has removed its pid file, and stays stopped. A server
    that was killed has left that file, and no process would start it until the next command is
    run. The thread runs in the monitor, which may have threads because it never forks.
    """
    thread = threading.Thread(
        target=_keep, args=(server, scoreboard), name="keeper", daemon=True
    )
    thread.start()


def _keep(server: Server, scoreboard: Scoreboard) -> None:
    pause = threading.Event()
    reported = ""
    while not scoreboard.stopping:
        pause.wait(POLL_EVERY_S)
        try:
            if server.crashed() and not scoreboard.stopping:
                server.ensure()
                emit("embedded.started", after="a crash")
        except EmbeddedServerError as error:
            if reported != (reported := str(error)):
                emit("embedded.awaited", error=reported)


@dataclass(frozen=True, slots=True)
class Assembly:
    """The processes of a configuration."""

    options: Options
    database: Database
    listener: socket.socket | None
    web_listener: socket.socket | None = None
    applied: str = ""
    """The database of the application, if the monitor is to compare it with ours."""

    def __post_init__(self) -> None:
        # Modules that this file does not name, and that each child would load again.
        shipped.import_shipped_jobs()
        import_module("jobsd.face")

    def specs(self, scoreboard: Scoreboard) -> list[ChildSpec]:
        """Return the specs, the monitor first: the rows of the others name its supervisor."""
        options, only = self.options, self.options.only
        specs = [ChildSpec("monitor", 1, self._monitor)]
        if scoreboard.hook_line is not None:
            specs.append(ChildSpec("hooks", 1, self._hooks(scoreboard.hook_line)))
        if "dispatcher" in only:
            specs += [
                ChildSpec("dispatcher", 1, self._dispatcher(each))
                for each in options.dispatchers
            ]
        if options.schedules:
            specs.append(ChildSpec("scheduler", 1, self._scheduler))
        if "worker" in only:
            specs += [
                ChildSpec("worker", each.processes, self._worker(each), ",".join(each.queues))
                for each in options.workers
                if each.processes
            ]
        if self.web_listener is not None:
            specs.append(ChildSpec("web", 1, self._web(self.web_listener)))
        return specs

    @property
    def listeners(self) -> dict[str, socket.socket]:
        """The sockets that listen, by the kind of process that serves each."""
        found = {"monitor": self.listener, "web": self.web_listener}
        return {kind: listener for kind, listener in found.items() if listener is not None}

    @property
    def _target(self) -> Target:
        """The database for a loop: an iteration waits for several answers, and must end."""
        patience_s = self.options.supervisor.hang_timeout_s / 5
        target = self.database.target
        return replace(target, deadline_s=min(target.deadline_s, patience_s))

    def log_through(self, scoreboard: Scoreboard) -> None:
        """Set up the log of the supervisor.

        Raises:
            ConfigurationError: its file can't be opened.
        """

        def count(lines: int) -> None:
            scoreboard.dropped_lines += lines

        try:
            self._log("supervisor", scoreboard.supervisor_name, count)
        except OSError as error:
            raise _unwritable(self.options, error) from error

    def _monitor(self, context: Context) -> int:
        self._begin("monitor", context)
        if self.database.server is not None:
            keep_running(self.database.server, context.scoreboard)
        target = self.database.target
        return Monitor(context, target, self.options, self.listener, self.applied).run()

    def _web(self, listener: socket.socket) -> Callable[[Context], int]:
        def start(context: Context) -> int:
            # Only a tree with a dashboard loads its modules.
            from jobsd.web.process import WebProcess

            self._begin("web", context)
            target = self.database.target
            return process.run(WebProcess(context, target, self.options, listener), context)

        return start

    def _hooks(self, line: HookLine) -> Callable[[Context], int]:
        def start(context: Context) -> int:
            self._begin("hooks", context)
            if not self._load_jobs(context):
                return EXIT_CONFIGURATION
            return process.run(HooksProcess(context, line), context)

        return start

    def _dispatcher(self, options: DispatcherOptions) -> Callable[[Context], int]:
        def start(context: Context) -> int:
            self._begin("dispatcher", context)
            loop = Dispatcher(context, self._target, options, self.options.jobs)
            return process.run(loop, context)

        return start

    def _scheduler(self, context: Context) -> int:
        self._begin("scheduler", context)
        options = self.options
        if not self._load_jobs(context):
            return EXIT_CONFIGURATION
        tasks = with_code_tasks(options.tasks, options.time_zone, options.root)
        for key, why in ((task.key, import_check.misfit(task)) for task in tasks):
            if why is None:
                continue
            # Checked before the start, so this is a reload: the old one goes on.
            emit("process.crashed", error=f"{key}.{why[0]}: {why[1]}")
            return EXIT_CONFIGURATION
        scheduler = Scheduler(
            context, self._target, options.scheduler, tasks, options.environment
        )
        return process.run(scheduler, context)

    def _worker(self, options: WorkerOptions) -> Callable[[Context], int]:
        def start(context: Context) -> int:
            self._begin("worker", context)
            jobs = self.options.jobs
            hang_s = self.options.supervisor.hang_timeout_s
            time_limits.set_default(jobs.timeout_s, jobs.kill_after_s, hang_s)
            KEPT.keep(jobs.keep_log)
            commands = [task.command for task in self.options.tasks if task.command]
            command_job.register(self.options.imports, commands)
            if not self._load_jobs(context):
                return EXIT_CONFIGURATION
            worker = Worker(
                context,
                self._target,
                options,
                self.options.jobs,
                trust_s=self.options.supervisor.process_alive_threshold_s / 2,
                drain_s=self.options.supervisor.shutdown_timeout_s,
                slow_after_s=self.options.logs.slow_after_s,
            )
            limits = (options.max_jobs, options.max_memory, options.max_age_s)
            return process.run(worker, context, recycling.RecyclePolicy(context.entry, *limits))

        return start

    @property
    def journals(self) -> Path:
        """The folder of the journals of this database."""
        return journal_folder(self.options.root, os.environ, self.database.target)

    def _begin(self, kind: str, context: Context) -> None:
        context.journals = self.journals
        self._log(kind, context.name, context.entry.count_dropped_lines)
        if kind in lifecycle_hooks.WITH_MODULES and context.scoreboard.hook_line is not None:
            context.scoreboard.hook_line.end_forwarding()
        keep_s = self.options.jobs.clear_finished_jobs_after_s
        client.configure(client=client.Client(self.database.target, keep_finished_s=keep_s))

    def _log(self, kind: str, name: str, count: Callable[[int], None]) -> None:
        options = self.options.logs
        redaction.hide_behind(self.options.jobs.filter_arguments)
        logs.configure(
            cast("Literal['json', 'console'] | None", options.format),
            options.level,
            kind=kind,
            name=name,
            path=options.file,
            dropped=count,
            sums=not self.options.log_jobs,
            lifecycle=self.options.log_jobs,
        )

    def _load_jobs(self, context: Context) -> bool:
        logs.take_prints()
        logs.take_descriptors(context.pipes, context.entry.only_job)
        try:
            registry.load_modules(self.options.imports, self.options.root)
        except registry.ModuleError as error:
            emit("process.crashed", error=error.__cause__ or error, module=error.module)
            return False
        return True


def _unwritable(options: Options, error: OSError) -> ConfigurationError:
    message = f"the log {options.logs.file} can't be written: {error.strerror}"
    return ConfigurationError((Fault(message, flags.place(options, "log_file", "logs.file")),))


def hook_line(imported: import_check.Imported) -> HookLine | None:
    """Return the pipe to the hooks process, if there are hooks that only it can call."""
    elsewhere = {f"on_{kind}" for kind in lifecycle_hooks.WITH_MODULES}
    moments = {each for each in imported.hooks if each.rpartition("_")[0] not in elsewhere}
    if not moments and not imported.events:
        return None
    line = HookLine(frozenset(moments), imported.events)
    line.begin_forwarding()
    return line
