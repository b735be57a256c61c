"""Reads queue.yml by the table of `options`, and checks settings that depend on others."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from . import flags, options, source
from .faults import Faults
from .fields import Entry
from .options import LISTS, SECTIONS, MonitorOptions, Options, StartOptions, SupervisorOptions
from .setting import Setting, settings_of

Rows = Iterable[tuple[str, str, Setting[Any]]]

_START = {field for field, _, _ in settings_of(StartOptions)}
TOP = tuple(row for row in settings_of(Options) if row[0] not in _START)
_KEYS = frozenset({*SECTIONS, *(key for _, key, _ in TOP)})
_IMPORT = next(row for field, _, row in TOP if field == "imports")
_BIND = next(row for field, _, row in settings_of(MonitorOptions) if field == "bind")


@dataclass(frozen=True, slots=True)
class QueueFile:
    """The settings of one section, completed by flags, variables and defaults.

    `options` are fields of `Options`. `wants_scheduler`: a scheduler has to run even without a
    static task. `span` is where the processes are configured.
    """

    options: dict[str, Any]
    wants_scheduler: bool
    span: source.SourceSpan


def is_own(pair: source.Pair) -> bool:
    """Return whether a pair of the top level is a setting, not a section."""
    return pair.key.text in _KEYS


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads sections of the file in one environment.

    `given` beats the file; without it a section is only a part, whose settings are checked one
    by one, but not against each other. `modules` are imported if the file has no `import`.
    """

    environment: str
    faults: Faults
    given: flags.Given | None = None
    modules: tuple[str, ...] = ()

    def read(self, section: source.Mapping | None, span: source.SourceSpan) -> QueueFile:
        """Read one section; `span` is for faults without a span of their own."""
        with Entry(section, "", span, self.faults) as entry:
            found = self._values(TOP, entry)
            if self.given is not None and not entry.is_given("import"):
                found["imports"] = self.given.over(_IMPORT, self.modules)
            for key in SECTIONS.keys() - {*LISTS, "monitor"}:
                found[key] = self._section(key, entry.mapping(key))
            found["monitor"] = self._monitor(entry)
            found |= self._processes(entry)
            wants = entry.is_given("scheduler") and found["scheduler"].dynamic_tasks_enabled
            where = "workers" if entry.is_given("workers") else "dispatchers"
            return QueueFile(found, wants, entry.span_of(where))

    def _section(self, key: str, entry: Entry) -> Any:  # noqa: ANN401 - of that section's class
        with entry:
            read: Any = SECTIONS[key](**self._values(settings_of(SECTIONS[key]), entry))
            if key == "workers" and entry.is_given("threads") and entry.is_given("coroutines"):
                hint = "a worker runs so many jobs at once, of any kind: keep one of the two"
                entry.wrong("coroutines", "can't be given beside threads", hint)
            if key == "supervisor" and self.given is not None:
                _check_heartbeats(entry, read)
                _check_hang_timeout(entry, read)
            return read

    def _processes(self, entry: Entry) -> dict[str, Any]:
        """Read the lists. If only one of them is given, there are no processes of the other."""
        lists = {key: entry.mappings(key) for key in LISTS}
        if all(entries is None for entries in lists.values()):
            lists = dict.fromkeys(LISTS, (entry.inner("", None),))
        return {
            key: tuple(self._section(key, each) for each in entries or ())
            for key, entries in lists.items()
        }

    def _monitor(self, entry: Entry) -> MonitorOptions:
        """Read the address: `monitor: null` means none; without the key, the default."""
        with entry.mapping("monitor") as monitor:
            values = self._values(settings_of(MonitorOptions), monitor)
            asked = monitor.has("bind") or (self.given is not None and self.given.has(_BIND))
        if not asked and entry.has("monitor") and not entry.is_given("monitor"):
            return MonitorOptions(None, bind_is_default=False)
        return MonitorOptions(**values, bind_is_default=not asked)

    def _values(self, rows: Rows, entry: Entry) -> dict[str, Any]:
        """Read settings: flags beat variables, variables the file, the file the defaults."""
        trying = self.environment in options.TRYING
        found: dict[str, Any] = {}
        for field, key, row in rows:
            value = entry.read(key, row.kind, row.default_value(trying=trying))
            if self.given is not None:
                value = self.given.over(row, value, written=entry.is_given(key))
            found[field] = value
        return found


def _check_heartbeats(entry: Entry, options: SupervisorOptions) -> None:
    if options.process_alive_threshold_s > 2 * options.heartbeat_interval_s:
        return
    hint = "else one late heartbeat makes a living process look dead"
    if entry.is_given("process_alive_threshold"):
        message = "must be more than twice heartbeat_interval"
        entry.wrong("process_alive_threshold", message, hint)
    else:
        message = "must be less than half of process_alive_threshold"
        entry.wrong("heartbeat_interval", message, hint)


def _check_hang_timeout(entry: Entry, options: SupervisorOptions) -> None:
    threshold_s = options.process_alive_threshold_s
    if options.hang_timeout is None or options.hang_timeout < threshold_s:
        return
    message = f"must be less than process_alive_threshold, which is {threshold_s:g} s"
    hint = (
        "else other trees recover the jobs of a hanging process, which may still run them:"
        " raise process_alive_threshold, or leave hang_timeout out"
        f" ({replace(options, hang_timeout=None).hang_timeout_s:g} s then)"
    )
    entry.wrong("hang_timeout", message, hint)
