"""Loads the configuration: defaults, files, variables, flags; each overrides the ones before.

`examine` reads all of it and collects the faults; `load` is for callers that go on only without
faults. Neither needs a database, and neither imports a module of the user's.
"""

from __future__ import annotations

import collections.abc as c
import contextlib
import gc
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from jobsd.errors import ConfigurationError, Fault
from jobsd.logs.redaction import redact

from . import application, document, queue_file, setting
from .faults import Faults, quoted
from .flags import Flags, Given
from .found_modules import found_modules
from .options import KINDS, TRYING, Options, StartOptions, SupervisorOptions
from .queue_file import QueueFile
from .sections import Sections, pick
from .source import Pair, Source, SourceSpan, UnreadableError, read_source

if TYPE_CHECKING:
    from jobsd.recurring.definition import TaskDefinition


@dataclass(frozen=True, slots=True)
class Examined:
    """The options, which are valid only when there are no faults."""

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
    """Return the configuration together with all of its faults."""
    reading = _Reading(root, environ, flags)
    with _uncollected():
        return Examined(reading.options(), reading.faults.all())


@contextlib.contextmanager
def _uncollected() -> Generator[None]:
    """Pause the garbage collector: it would walk repeatedly over values that stay.

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

    The recurring tasks are not read: a fault in them must not keep commands from the queue.

    Raises:
        ConfigurationError: with every fault of the file, the environment and the flags.
    """
    reading = _Reading(root, environ, flags)
    options = reading.options(starts=False)
    if faults := reading.faults.all():
        raise ConfigurationError(faults)
    return options


class _Reading:
    """One pass over the files, the variables and the flags."""

    def __init__(self, root: Path, environ: c.Mapping[str, str], flags: Flags) -> None:
        self.root = root
        self.faults = Faults()
        self._environ = environ
        self._warnings: list[str] = []
        self._given = Given(environ, flags, self.faults)
        self._start = StartOptions(**self._given.start_options())
        self._flags = flags
        self._missing: set[str] = set()

    def options(self, *, starts: bool = True) -> Options:
        file = self._queue_file()
        read = self._group(
            Options(root=self.root, **self._given.start_options(), **file.options)
        )
        reads_tasks = starts and not self._skips_recurring
        tasks = self._tasks(read) if reads_tasks else ()
        schedules = self._schedules(file, tasks)
        if starts:
            self._require_file()
            self._require_end(read)
            self._require_processes(read, file.span, schedules=schedules)
            self._warn_without_dispatcher(read, file.span.source.name)
        return replace(
            read,
            supervisor=self._with_path(read.supervisor),
            logs=replace(read.logs, file=read.logs.file and self.root / read.logs.file),
            tasks=tasks,
            warnings=tuple(map(redact, self._warnings)),
            schedules=schedules,
            given=self._given.sources(),
            alike=self._alike() if starts else "",
        )

    def _group(self, options: Options) -> Options:
        """Return the options with the requested entry of `workers` alone, if any."""
        place, groups = options.worker_group, options.workers
        if place is None:
            return options
        if place > len(groups):
            message = f"there is no worker group {place}: {options.config} has {len(groups)}"
            self.faults.add_fault(Fault(message, self._by("worker_group")))
            return options
        return replace(options, workers=(groups[place - 1],))

    def _queue_file(self) -> QueueFile:
        environment, faults = self._start.environment, self.faults
        without = "the built-in configuration is used"
        sections, span = self._sections(self._start.config, queue_file.is_own, without)
        part = queue_file.Reader(environment, faults)
        for section in filter(None, (sections.default, *sections.unused)):
            part.read(section, span)
        modules = found_modules(self.root)
        reader = queue_file.Reader(environment, faults, self._given, modules)
        return reader.read(sections.used, span)

    def _tasks(self, options: Options) -> tuple[TaskDefinition, ...]:
        """Return the tasks of the file; without a file an application has the shipped one."""
        # Most commands read no tasks, and load no schedules.
        from . import recurring_file  # noqa: PLC0415

        name, zone, faults = options.recurring_file, options.time_zone, self.faults
        serves = bool(application.setups(options))
        without = "recurring tasks come from the code alone"
        if serves:
            without += f", and {recurring_file.CLEARING} from jobsd"
        sections, _ = self._sections(name, recurring_file.is_own, without)
        if serves and name in self._missing:
            return (recurring_file.shipped(zone),)
        for section in filter(None, (sections.default, *sections.unused)):
            list(recurring_file.read(section, zone, faults, warnings=[]))
        if sections.used is None:
            return ()
        return tuple(recurring_file.read(sections.used, zone, faults, self._warnings))

    def _sections(
        self, name: str, is_own: Callable[[Pair], bool], without: str
    ) -> tuple[Sections, SourceSpan]:
        try:
            source = read_source(self.root, name)
        except UnreadableError as error:
            self.faults.add_fault(error.fault)
            source = Source(name, "")
        if source is None and (by := self._named_by(name)):
            self.faults.add_fault(Fault(f"{name} does not exist, but {by} names it", name))
            source = Source(name, "")
        if source is None:
            self._missing.add(name)
            self._warnings.append(f"{name} does not exist: {without}")
            source = Source(name, "")
        root = document.compose(source, self._environ, self.faults)
        sections = pick(root, self._start.environment, is_own, self.faults)
        if sections.warning:
            counts = without if sections.used is None else "only `default` is used"
            self._warnings.append(f"{name} {sections.warning}: {counts}")
        return sections, SourceSpan(source, 0, 1)

    def _named_by(self, name: str) -> str:
        """Return the flag or the variable that names a file, "" for a default's name."""
        files = {getattr(self._start, each): each for each in ("recurring", "config")}
        return self._by(files[name]) if name in files else ""

    def _by(self, field: str) -> str:
        """Return the flag or variable that gives a setting of `StartOptions`, "" for none."""
        rows = {name: row for name, _, row in setting.settings_of(StartOptions)}
        return self._given.by(rows[field])

    def _with_path(self, options: SupervisorOptions) -> SupervisorOptions:
        pidfile = options.pidfile
        return replace(options, pidfile=pidfile and self.root / pidfile)

    def _schedules(self, file: QueueFile, tasks: tuple[TaskDefinition, ...]) -> bool:
        only = self._start.only
        wanted = tasks or file.wants_scheduler or only == frozenset({"scheduler"})
        return bool(wanted) and "scheduler" in only and not self._skips_recurring

    @property
    def _skips_recurring(self) -> bool:
        """Whether no scheduler runs: its new runs would keep a tree that ends when idle."""
        return self._start.skip_recurring or self._start.until_empty

    def _warn_without_dispatcher(self, options: Options, name: str) -> None:
        works = any(worker.processes for worker in options.workers)
        if works and not options.dispatchers and options.only == KINDS:
            self._warnings.append(
                f"{name} has workers and no dispatchers: scheduled jobs and retries will wait"
                " until a dispatcher runs somewhere (`dispatchers: [{}]` starts one)"
            )

    def _require_end(self, options: Options) -> None:
        """Refuse a tree that is asked to end and never would, and a horizon without an end."""
        works = "worker" in options.only and any(each.processes for each in options.workers)
        if options.until_empty and not works:
            message, hint = "--until-empty needs a worker", "without workers no job would run"
            self.faults.add_fault(Fault(message, "--until-empty", hint=hint))
        if options.horizon_s and not options.until_empty:
            self.faults.add_fault(Fault("--horizon needs --until-empty", "--horizon"))

    def _require_file(self) -> None:
        """Refuse a start without a file: it would claim all jobs, and know no class of them."""
        start = self._start
        name, environment = start.config, start.environment
        if name not in self._missing or environment in TRYING:
            return
        tasks_alone = not start.skip_recurring and start.recurring_file not in self._missing
        if tasks_alone and name == StartOptions().config:
            return
        message = (
            f"{name} does not exist, and the environment {quoted(environment)} needs it: the"
            " built-in configuration would take jobs from all queues"
        )
        hint = (
            "create it (`init` writes one), or name yours with --config or JOBSD_CONFIG; only"
            f" {' and '.join(TRYING)} (--env, JOBSD_ENV) start without one"
        )
        self.faults.add_fault(Fault(message, name, hint=hint))

    def _require_processes(
        self, options: Options, span: SourceSpan, *, schedules: bool
    ) -> None:
        """Refuse a tree without processes; last, since other faults may be the cause."""
        only = options.only
        counts = {
            "worker": sum(worker.processes for worker in options.workers),
            "dispatcher": len(options.dispatchers),
            "scheduler": schedules,
        }
        if any(counts[kind] for kind in only) or self.faults.all():
            return
        hint = "configure workers, dispatchers or a recurring task"
        if only != KINDS:
            hint = f"--only names {', '.join(sorted(only))}, but none is configured"
        self.faults.add(span, "no processes configured", hint)

    def _alike(self) -> str:
        """Return a text that is equal in two trees of a host only if they are started alike."""
        start, given = self._start, self._flags.given
        files = (self.root, start.config, start.recurring_file)
        kinds = sorted(start.only)
        if start.worker_group is not None:
            kinds.append(str(start.worker_group))
        return repr((*files, kinds, given.get("queues"), given.get("pidfile")))
