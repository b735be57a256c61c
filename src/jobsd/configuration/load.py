"""Defaults, then the files, then the environment, then the flags: the last word counts.

`examine` goes through all of it and gathers what is wrong; `load` is for whoever only goes
on when nothing is. Neither needs a database, and neither imports a module of the user's.
"""

from __future__ import annotations

import contextlib
import gc
import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from jobsd.configuration import queue_file, recurring_file, settings
from jobsd.configuration.database_url import database_url
from jobsd.configuration.document import compose
from jobsd.configuration.faults import Faults, quoted
from jobsd.configuration.files import UnreadableError, read_source
from jobsd.configuration.options import KINDS, Options
from jobsd.configuration.sections import Sections, pick
from jobsd.configuration.source import Place, Source
from jobsd.errors import ConfigurationError
from jobsd.instruments.redaction import redact

if TYPE_CHECKING:
    import collections.abc as c
    from collections.abc import Callable, Generator
    from pathlib import Path

    from jobsd.configuration.flags import Flags
    from jobsd.configuration.nodes import Mapping, Pair
    from jobsd.configuration.options import MonitorOptions, SupervisorOptions, WorkerOptions
    from jobsd.configuration.queue_file import QueueFile
    from jobsd.errors import Fault
    from jobsd.recurring.task import TaskOptions


@dataclass(frozen=True, slots=True)
class Examined:
    """The options, good only when there are no faults; and all that is to be told."""

    options: Options
    faults: tuple[Fault, ...]


def load(root: Path, environ: c.Mapping[str, str], flags: Flags) -> Options:
    """Return the configuration of the project at `root`.

    Raises:
        ConfigurationError: with every fault of files, environment and flags.
    """
    examined = examine(root, environ, flags)
    if examined.faults:
        raise ConfigurationError(examined.faults)
    return examined.options


def examine(root: Path, environ: c.Mapping[str, str], flags: Flags) -> Examined:
    """Return the configuration together with all that is wrong with it."""
    reading = _Reading(root, environ, flags)
    with _uncollected():
        return Examined(reading.options(), reading.faults.all())


@contextlib.contextmanager
def _uncollected() -> Generator[None]:
    """Let the collector rest: what is read stays, and would be looked at again and again.

    It took a sixth of the time for 10,000 recurring tasks.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def load_for_commands(root: Path, environ: c.Mapping[str, str], flags: Flags) -> Options:
    """Return the configuration for a program that starts no processes.

    The recurring tasks are not read: their faults are no reason not to look into the queue.

    Raises:
        ConfigurationError: with every fault of the file, the environment and the flags.
    """
    reading = _Reading(root, environ, replace(flags, skip_recurring=True))
    options = reading.options(starts=False)
    if faults := reading.faults.all():
        raise ConfigurationError(faults)
    return options


def project_root(cwd: Path, environ: c.Mapping[str, str]) -> Path:
    """Return the folder in which files, `storage/` and the user's modules are looked up.

    `JOBSD_HOME` is set by `bin/jobs` to the folder above it.
    """
    home = environ.get("JOBSD_HOME")
    if not home or _has_configuration(cwd):
        return cwd
    return cwd / home


def is_project(cwd: Path, environ: c.Mapping[str, str]) -> bool:
    """Return whether a folder is one, or we were started by a project's `bin/jobs`."""
    return bool(environ.get("JOBSD_HOME")) or _has_configuration(cwd)


def _has_configuration(folder: Path) -> bool:
    named = (settings.DEFAULT_CONFIG, settings.DEFAULT_RECURRING)
    return any((folder / name).is_file() for name in named)


class _Reading:
    """One pass over everything that was written down."""

    def __init__(self, root: Path, environ: c.Mapping[str, str], flags: Flags) -> None:
        self.root = root
        self.faults = Faults()
        self._environ = environ
        self._warnings: list[str] = []
        self._settings = settings.read(environ, flags, self.faults)
        self._missing: set[str] = set()

    def options(self, *, starts: bool = True) -> Options:
        said = self._settings
        file = self._queue_file()
        tasks = () if said.skip_recurring else self._tasks(file.time_zone)
        schedules = self._schedules(file, tasks)
        if starts:
            self._require_file()
            self._require_processes(file, schedules=schedules)
            self._look_for_dispatchers(file)
        return Options(
            environment=said.environment,
            root=self.root,
            imports=tuple(dict.fromkeys((*file.imports, *said.imports))),
            time_zone=file.time_zone,
            database=replace(file.database, url=self._url(file)),
            dispatchers=file.dispatchers,
            workers=self._workers(file),
            scheduler=file.scheduler,
            supervisor=self._supervisor(file),
            monitor=self._monitor(file),
            jobs=file.jobs,
            tasks=tasks,
            only=said.only,
            skip_recurring=said.skip_recurring,
            log_format=said.log_format,
            log_level=said.log_level,
            log_jobs=said.log_jobs,
            warnings=tuple(map(redact, self._warnings)),
            schedules=schedules,
            tree=_tree_name(self.root, said),
        )

    def _queue_file(self) -> QueueFile:
        sections, place = self._sections(
            self._settings.config, queue_file.is_own, "the built-in configuration is used"
        )
        for section in filter(None, (sections.default, *sections.unused)):
            part = section is sections.default
            self._section(section, place, part=part)
        return self._section(sections.used, place, part=False)

    def _section(self, section: Mapping | None, place: Place, *, part: bool) -> QueueFile:
        tried_out = self._settings.environment in settings.TRIED_OUT_IN
        return queue_file.read(
            section, place, self.root, self.faults, part=part, tried_out=tried_out
        )

    def _tasks(self, time_zone: str) -> tuple[TaskOptions, ...]:
        sections, _ = self._sections(
            self._settings.recurring, recurring_file.is_own, "there are no recurring tasks"
        )
        zone, faults = time_zone, self.faults
        for section in filter(None, (sections.default, *sections.unused)):
            list(recurring_file.read(section, zone, faults, warnings=[]))
        if sections.used is None:
            return ()
        return tuple(recurring_file.read(sections.used, zone, faults, self._warnings))

    def _sections(
        self, name: str, is_own: Callable[[Pair], bool], without: str
    ) -> tuple[Sections, Place]:
        try:
            source = read_source(self.root, name)
        except UnreadableError as error:
            self.faults.add_fault(error.fault)
            source = Source(name, "")
        if source is None:
            self._missing.add(name)
            self._warnings.append(f"{name} does not exist: {without}")
            source = Source(name, "")
        root = compose(source, self._environ, self.faults)
        sections = pick(root, self._settings.environment, is_own, self.faults)
        if sections.warning:
            counts = without if sections.used is None else "`default` alone counts"
            self._warnings.append(f"{name} {sections.warning}: {counts}")
        return sections, Place(source, 0, 1)

    def _url(self, file: QueueFile) -> str | None:
        said = self._settings
        if said.url or file.database.url or said.fallback_url is None:
            return said.url or file.database.url
        return settings.judged(said.fallback_url, database_url, self.faults)

    def _workers(self, file: QueueFile) -> tuple[WorkerOptions, ...]:
        queues = self._settings.queues
        if queues is None:
            return file.workers
        return tuple(replace(worker, queues=queues) for worker in file.workers)

    def _supervisor(self, file: QueueFile) -> SupervisorOptions:
        pidfile = self._settings.pidfile
        if pidfile is None:
            return file.supervisor
        return replace(file.supervisor, pidfile=self.root / pidfile)

    def _monitor(self, file: QueueFile) -> MonitorOptions:
        bind = self._settings.bind
        if bind is None:
            return file.monitor
        return replace(file.monitor, bind=bind[0], bind_is_default=False)

    def _schedules(self, file: QueueFile, tasks: tuple[TaskOptions, ...]) -> bool:
        said = self._settings
        wanted = tasks or file.wants_scheduler or said.only == frozenset({"scheduler"})
        return bool(wanted) and "scheduler" in said.only and not said.skip_recurring

    def _look_for_dispatchers(self, file: QueueFile) -> None:
        works = any(worker.processes for worker in file.workers)
        if works and not file.dispatchers and self._settings.only == KINDS:
            self._warnings.append(
                f"{file.place.source.name} has workers and no dispatchers: what is scheduled,"
                " retries included, waits for one elsewhere (`dispatchers: [{}]` starts one)"
            )

    def _require_file(self) -> None:
        """Refuse what an image without its files would do: take all jobs, and know none."""
        said = self._settings
        name, environment = said.config, said.environment
        if name not in self._missing or environment in settings.TRIED_OUT_IN:
            return
        tasks_alone = not said.skip_recurring and said.recurring not in self._missing
        if tasks_alone and name == settings.DEFAULT_CONFIG:
            return
        self.faults.add_setting(
            name,
            f"{name} does not exist, and in the environment {quoted(environment)} nothing is"
            " started without it: the built-in configuration takes the jobs of all queues",
            f"write it (`init` makes one), or name yours (--config, JOBSD_CONFIG); only in"
            f" {' and '.join(settings.TRIED_OUT_IN)} (--env, JOBSD_ENV) a start needs none",
        )

    def _require_processes(self, file: QueueFile, *, schedules: bool) -> None:
        """Refuse a tree in which nothing would run; other faults may be why, so last."""
        only = self._settings.only
        counts = {
            "worker": sum(worker.processes for worker in file.workers),
            "dispatcher": len(file.dispatchers),
            "scheduler": schedules,
        }
        if any(counts[kind] for kind in only) or self.faults.all():
            return
        hint = "give workers, dispatchers or a recurring task"
        if only != KINDS:
            hint = f"--only asks for {', '.join(sorted(only))}, and there is none"
        self.faults.add(file.place, "no processes configured", hint)


def _tree_name(root: Path, said: settings.Settings) -> str:
    """Return a name that trees of one host share only when nothing tells them apart."""
    told = (root, said.config, said.recurring, sorted(said.only), said.queues, said.pidfile)
    return f"{root.name[:40]}-{hashlib.sha256(repr(told).encode()).hexdigest()[:6]}"
