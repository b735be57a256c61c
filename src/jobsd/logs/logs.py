"""The log: our events, and the lines that jobs log or print, on one descriptor.

Our events go to the sink directly, so the user's modules can't change or silence them by
`logging`, structlog or `sys.stdout`. Output of these modules to stdout and stderr, in any way,
becomes lines of ours; their handlers to files and services are left alone.

Importing this sets nothing up. `configure` is called by the supervisor before its first fork,
and again by each process below it, under its own name.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import structlog

from jobsd.events import events

from . import always, layouts, line_ends, line_handler, log_file, summing
from .capture import KEPT
from .journal import Entries
from .layouts import LEVELS, known_level
from .lines import NO_JOB, Lines, encode, is_line
from .pipes import Descriptors, Pipes, write_by_lines
from .printed import Copied, Printed, end_lines
from .sink import Sink, journal_reads

if TYPE_CHECKING:
    from structlog.typing import EventDict, WrappedLogger

__all__ = [
    "configure",
    "finish",
    "log_unread_output",
    "reopen",
    "reset",
    "take_descriptors",
    "take_prints",
]

BY = {1: "stdout", 2: "stderr"}
LIFECYCLE = ("job.enqueued", "job.started", "job.finished", "job.snoozed", "job.set_aside")
"""The events of a single job that are below level info."""


class _Log:
    """The log of one process, with one configuration."""

    def __init__(
        self,
        lines: Lines,
        sink: Sink,
        level: str,
        path: Path | None,
        entries: Entries | None = None,
    ) -> None:
        self.lines = lines
        self.sink = sink
        self.path = path
        self._entries = entries
        self.handler = _Handler(self)
        self._level = LEVELS[level]
        self.summing: summing.Summing | None = None
        self._root_level = logging.getLogger().level
        self._unsubscribe = [events.subscribe(self._write_event, level=level)]

    def begin(self, *, sums: bool, lifecycle: bool) -> None:
        """Sum up events of jobs that repeat; write each step of a job at level info."""
        if sums:
            self.summing = summing.Summing(self._write_sum)
        if lifecycle and self._level == LEVELS["info"]:
            self._unsubscribe.append(events.subscribe(self._write_step, names=LIFECYCLE))

    def write(self, line: str, level: str = "info", ours: Mapping[str, Any] = NO_JOB) -> None:
        """Write a line; after lost lines, also their number.

        `ours` are facts of our own about the line: the journal gets them as fields.
        """
        if self.sink.write(self._data(line, level, ours)) and self.sink.lost:
            lost, self.sink.lost = self.sink.lost, 0
            self.write_own("warning", "logs.dropped", {"lines": lost})

    def write_own(self, level: str, event: str, facts: dict[str, Any]) -> None:
        """Write an event of ours."""
        line = self.lines.line(level, event, "jobsd", facts)
        self.write(line, level, {**facts, "event": event})

    def _data(self, line: str, level: str, ours: Mapping[str, Any]) -> bytes:
        if self._entries is None:
            return encode(line) + b"\n"
        return self._entries.entry(line, level, ours)

    def render(self, level: str, logger: str, record: Mapping[str, Any], at: float = 0) -> str:
        """Return the line of a record of structlog or `logging`."""
        KEPT.say_facts(level, logger, record)
        facts = dict(record)
        level, logger = facts.pop("level", level), facts.pop("logger", logger)
        return self.lines.line(level, *_named(facts.pop("event", ""), logger, facts), at)

    def log_text(self, text: str, by: str, job: Mapping[str, Any] = NO_JOB) -> None:
        """Write output for stdout or stderr as a line; a line of ours stays as it is."""
        KEPT.say(text, job.get("job_id"))
        if is_line(text) and len(encode(text)) < self.sink.line_bytes:
            self.write(text, ours=job)
        elif self._level <= LEVELS["info"] or by == "stderr":
            self.write(self.lines.line("info", *_named(text, by, dict(job))), ours=job)

    def write_always(self, logger: str, text: str) -> None:
        """Write a line of `log_always`."""
        KEPT.say_facts("info", logger, {"event": text})
        if self._level <= LEVELS["info"]:
            self.write(self.lines.line("info", text, logger, {}))

    def close(self) -> None:
        """Undo the configuration."""
        for unsubscribe in self._unsubscribe:
            unsubscribe()
        if self.summing is not None:
            self.summing.flush()
        root = logging.getLogger()
        root.removeHandler(self.handler)
        root.setLevel(self._root_level)
        self.sink.close()

    def _write_sum(self, level: str, facts: dict[str, Any]) -> None:
        self.write_own(level, "logs.summed", facts)

    def _write_step(self, event: events.Event, facts: dict[str, Any]) -> None:
        self.write_own("info", event.name, facts)

    def _write_event(self, event: events.Event, facts: dict[str, Any]) -> None:
        if self.summing is None or self.summing.admits(event, facts):
            self.write_own(event.level, event.name, facts)


class _Handler(line_handler.LineHandler):
    """Writes records of `logging` to the log."""

    def __init__(self, log: _Log) -> None:
        super().__init__()
        self._log = log
        self.setFormatter(
            structlog.stdlib.ProcessorFormatter(
                foreign_pre_chain=[structlog.stdlib.ExtraAdder()],
                processors=[self._render],
            )
        )

    def _render(self, _logger: WrappedLogger, method: str, entry: EventDict) -> str:
        record: logging.LogRecord = entry["_record"]
        structlog.stdlib.ProcessorFormatter.remove_processors_meta(_logger, method, entry)
        return self._log.render(known_level(method), record.name, entry, record.created)

    def emit(self, record: logging.LogRecord) -> None:
        if always.is_logged():
            return
        try:
            line = self.format(record)
        except Exception:  # noqa: BLE001 - a job's arguments for a message may do anything
            self.handleError(record)
        else:
            self._log.write(line, known_level(record.levelname.lower()))


class _Rendered(str):
    """A line that is one of ours."""

    __slots__ = ("level",)
    level: str


class _Output:
    """The output of a structlog logger; it has the name under which the logger was requested.

    Callers keep their loggers, so each looks up the current log.
    """

    def __init__(self, *names: object) -> None:
        self.name = str(names[0]) if names else ""

    def msg(self, line: str) -> None:
        # The user may have replaced our processors.
        if _log is not None and isinstance(line, _Rendered):
            _log.write(line, line.level)
        elif _log is not None:
            _log.log_text(str(line), self.name or "structlog")
        line_ends.line_ended()

    debug = info = warning = warn = error = exception = critical = fatal = log = msg


_log: _Log | None = None
_descriptors: Descriptors | None = None


def configure(  # noqa: PLR0913 - one call sets up all there is
    format: Literal["json", "console"] | None,  # noqa: A002 - the setting's name
    level: str,
    *,
    kind: str,
    name: str,
    stream: int = 1,
    path: Path | None = None,
    dropped: Callable[[int], None] = lambda _: None,
    sums: bool = False,
    lifecycle: bool = False,
) -> None:
    """Log all events of this process on a descriptor or to a file.

    `format` None means: for people on a terminal, otherwise JSON. `kind` and `name` are the
    process's own. `dropped` is called with the number of lines that could not be written. With
    `sums`, events of jobs that repeat are summed up; with `lifecycle`, the steps of each job
    are logged at level info.

    Raises:
        OSError: the file can't be opened; the log stays as it was.
    """
    global _log  # noqa: PLW0603 - a process has one log
    journal = path is None and journal_reads(stream, os.environ.get("JOURNAL_STREAM"))
    sink = _to_journal(dropped) if journal else None
    entries = Entries(kind, name) if sink else None
    sink = sink or _sink(stream, path, dropped)
    reset()
    layout = layouts.chosen(format, stream if entries else sink.fd)
    has_priority = journal and entries is None
    lines = Lines(layout, kind, name, line_bytes=sink.line_bytes, has_priority=has_priority)
    _log = _Log(lines, sink, level, path, entries)
    _log.begin(sums=sums, lifecycle=lifecycle)
    always.set_writer(_log.write_always)
    logging.getLogger().addHandler(_log.handler)
    logging.getLogger().setLevel(LEVELS[level])
    _configure_structlog(LEVELS[level])


def reopen() -> None:
    """Write to the file that has the log's path now, if the log is a file.

    Safe in a signal handler: it takes no lock.

    Raises:
        OSError: it can't be opened; the old file stays in use.
    """
    log = _log
    if log is None or log.path is None:
        return
    fd = log_file.open_log(log.path)
    try:
        log.sink.move_to(fd)
    finally:
        os.close(fd)


def _to_journal(dropped: Callable[[int], None]) -> Sink | None:
    """Return a sink that writes entries to the journal; None if only a stream leads there."""
    with contextlib.suppress(OSError):
        return Sink(None, dropped)
    return None


def _sink(stream: int, path: Path | None, dropped: Callable[[int], None]) -> Sink:
    if path is None:
        return Sink(stream, dropped)
    fd = _opened(path)
    try:
        return Sink(fd, dropped)
    finally:
        os.close(fd)


def _opened(path: Path) -> int:
    """Open a log's file; a child that can't writes to the file that its parent has open."""
    try:
        return log_file.open_log(path)
    except OSError:
        if _log is None or _log.path != path:
            raise
        return os.dup(_log.sink.fd)


def take_prints() -> None:
    """Turn output of `print` in this process into lines of the log.

    If the log is for people on stdout, the stream stays as it is, but is flushed line by line.
    """
    stdout: object = sys.stdout
    if KEPT.most and not _takes_output():
        sys.stdout, sys.stderr = Copied(stdout, KEPT.say), Copied(sys.stderr, KEPT.say)
    elif _takes_output():
        sys.stdout = Printed(lambda line: log_text(line, "print"))
        sys.stderr = Printed(lambda line: log_text(line, "stderr"), descriptor=2)
    if isinstance(stdout, io.TextIOWrapper) and not _takes_output():
        stdout.reconfigure(line_buffering=True)


def take_descriptors(pipes: Pipes, only_job: Callable[[], int | None]) -> None:
    """Log output that bypasses Python, too; for the rest of the process.

    `only_job` returns the id of the running job, when it is the only one.
    """

    def log_line(number: int, line: str) -> None:
        job_id = only_job()
        log_text(line, BY[number], NO_JOB if job_id is None else {"job_id": job_id})

    global _descriptors  # noqa: PLW0603 - a process has two of them
    if _takes_output():
        write_by_lines()
        _descriptors = Descriptors(log_line, pipes)


def log_unread_output(pipes: Pipes, facts: Mapping[str, Any]) -> None:
    """Log output of a dead process that bypassed Python and that it had not read."""
    for number, lines, omitted in pipes.left():
        if _log is not None:
            _log.sink.drop(omitted)
        for line in lines:
            log_text(line, BY[number], facts)


def finish() -> None:
    """Log the last output and the sums, before the process ends."""
    global _descriptors
    end_lines()
    if _log is not None and _log.summing is not None:
        _log.summing.flush()
    descriptors, _descriptors = _descriptors, None
    if descriptors is not None:
        descriptors.close()


def _takes_output() -> bool:
    if _log is None:
        return False
    return _log.path is not None or _log.lines.layout is layouts.in_json


def log_text(text: str, by: str, job: Mapping[str, Any] = NO_JOB) -> None:
    """Log a text that a job or library has written as one entry, if this process has a log."""
    if _log is not None:
        _log.log_text(text, by, job)


def _named(
    event: object, logger: str, facts: dict[str, Any]
) -> tuple[object, str, dict[str, Any]]:
    """Return event, logger and facts of a foreign record: it is never an event of ours."""
    if not isinstance(event, str) or event not in events.EVENTS:
        return event, logger, facts
    if "message" in facts:
        facts["its_message"] = facts.pop("message")
    return "job.output", logger, {"message": event, **facts}


def reset() -> None:
    """Stop logging, and restore structlog and `logging`."""
    global _log
    always.clear_writer()
    log, _log = _log, None
    if log is not None:
        log.close()
        structlog.reset_defaults()


def _configure_structlog(threshold: int) -> None:
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.StackInfoRenderer(),
            _render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=_Output,
        cache_logger_on_first_use=True,
    )


def _render(output: WrappedLogger, method: str, entry: EventDict) -> str:
    if _log is None:
        raise structlog.DropEvent
    line = _Rendered(_log.render(known_level(method), output.name, entry))
    line.level = known_level(method)
    return line
