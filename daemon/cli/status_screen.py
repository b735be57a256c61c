"""The screen of `status`: a head of a few lines, and sections that share the other lines.

On a terminal it has the terminal's height, with the most urgent rows of each section; a pipe
gets all rows. `--watch` draws each screen over the one before, so its head does not move.
"""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, cycle
from math import ceil
from typing import Any

from jobsd import machine
from jobsd.daemon.program import program
from jobsd.daemon.values import (
    brief_moment,
    cells,
    counted,
    cut,
    human,
    number,
    plain,
    words_cut,
    wrapped,
)
from jobsd.database.connection import Session
from jobsd.operations import overview, processes
from jobsd.operations.queues import by_urgency
from jobsd.recurring.definition import SHIPPED

from . import failure_list, queue_list
from .output import Column, Format, Table, colored

Row = dict[str, Any]

QUEUED_MAX = overview.COUNTED_MAX
"""Counted jobs of one state of a queue, so that the screen appears at once."""
QUEUE_COLUMNS = queue_list.columns(QUEUED_MAX)
_STATES = ("scheduled", "ready", "blocked", "claimed", "failed", "finished", "discarded")
_COLOR = re.compile(r"\x1b\[\d+m")
_NEVER_APART = "\xa0"
_FINDINGS, _FINDING_LINES = 3, 2
"""The findings on a terminal, and the lines of each."""
_STYLES = {"bad": "red", "warning": "yellow"}


def _text(value: object) -> str:
    return plain(value) or "-"


_TREES = (
    Column("hostname", "TREE ON HOST", rank=1, show=_text, cuts=True),
    Column("pid", show=number, right=True),
    Column("life", "STATE", style=colored),
    Column("heartbeat_age", "HEARTBEAT", rank=2, right=True),
    Column("members", "PROCESSES", rank=4, show=_text, cuts=True),
    Column("queues", "QUEUES", rank=3, show=_text),
)
_TASKS = (
    Column("key", "NEXT RUN OF"),
    Column("next_run", "AT", rank=1, brief=brief_moment),
    Column("last_run", "LAST RUN", rank=3, brief=brief_moment),
    Column("schedule", rank=2, show=_text, cuts=True),
)
_FAILURES = (
    Column("class_name", "FAILED CLASS", show=_text, cuts=True, least=20),
    *failure_list.COLUMNS[1:],
)
_PROCESSES = tuple(
    Column(name) for name in ("kind", "pid", "hostname", "heartbeat_age", "life", "metadata")
)
_FAILED_JOBS = tuple(Column(name) for name in ("id", "class_name", "failed_at", "error"))
_PLANNED = tuple(
    Column(name) for name in ("key", "schedule", "next_run", "last_run", "runs", "enabled")
)


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures of the screen beside the overview."""

    totals: overview.Totals
    threads: overview.Threads
    failures: list[Row]


def figures(session: Session, seen: overview.Overview) -> Figures:
    """Read the figures of the screen beside the overview."""
    return Figures(
        overview.totals(session),
        overview.threads(session, seen.alive),
        overview.failure_groups(session),
    )


@dataclass(frozen=True, slots=True)
class Screen:
    """The output of `status`, on a terminal or in a pipe."""

    seen: overview.Overview
    figures: Figures

    def lines(self, form: Format) -> Iterator[str]:
        """Yield the lines of the screen."""
        if not form.terminal:
            yield from (line.replace(_NEVER_APART, " ") for line in self._all(form))
            return
        yield from self._fitting(form)

    def _head(self, form: Format) -> Iterator[str]:
        seen, found = self.seen, self.figures
        yield _sentence(seen)
        yield from self._health(form)
        beat = (human if form.terminal else plain)(seen.last_heartbeat or "none")
        yield f"last heartbeat: {beat}"
        yield f"jobs: {_jobs(found.totals)}"
        busy = f"{found.threads.busy:,} of {counted(found.threads.all, 'thread')} busy"
        yield f"{busy}; {_load_and_memory()}"

    def _health(self, form: Format) -> Iterator[str]:
        """Yield the findings, the worst first; the first line says if nothing runs."""
        found = [each for each in self.seen.health if each.name != "not_running"]
        kept = found[:_FINDINGS] if form.terminal else found
        for each in kept:
            said = _text(f"{each.severity}: {each.sentence}")
            if form.width:
                said = words_cut(said, form.width - 2)
            lines = wrapped(said, form.width, "  ")
            if form.terminal and form.width:
                lines = [cut(line, form.width) for line in lines[:_FINDING_LINES]]
            yield from (form.paint(line, _STYLES[each.severity]) for line in lines)
        if len(found) > len(kept):
            yield f"and {counted(len(found) - len(kept), 'more finding')}: `{program()} doctor`"

    def _fitting(self, form: Format) -> Iterator[str]:
        """Yield the head and as many rows of each section as the terminal has lines for."""
        head = [
            line.replace(_NEVER_APART, " ")
            for each in self._head(form)
            for line in wrapped(each, form.width, "  ")
        ]
        sections = self._sections()
        titles = sum(2 for section in sections if section.rows)
        left = None if form.height is None else form.height - 1 - len(head) - titles
        counts = _share([len(section.rows) for section in sections], left)
        shown = [
            list(_shortened(section, count).lines(form))
            for section, count in zip(sections, counts, strict=True)
        ]
        if left is not None and sum(map(len, shown)) > left + titles:
            # Records have more lines than rows. The last line tells how many rows are missing.
            shown = [
                [*lines[: count + 1], *lines[count + 1 :][-1:]]
                for lines, count in zip(shown, counts, strict=True)
            ]
        painted = form.paint(head[0], "green" if self.seen.running else "red")
        yield from _clipped([painted, *head[1:], *chain(*shown)], form)

    def _sections(self) -> list[Table]:
        """Return the sections, the most important one first."""
        seen = self.seen
        queues = queue_list.for_people(by_urgency(seen.queues))
        planned = _planned(seen) if seen.has_scheduler else []
        more = f"`{program()} queues`", f"`{program()} failures`", f"`{program()} ps`"
        return [
            Table(queues, QUEUE_COLUMNS, more[0], apart=True),
            Table(self.figures.failures, _FAILURES, more[1], apart=True),
            Table(processes.trees(seen.processes), _TREES, more[2], apart=True),
            Table(planned, _TASKS, f"`{program()} recurring list`", apart=True),
        ]

    def _all(self, form: Format) -> Iterator[str]:
        yield from self._head(form)
        seen = self.seen
        for title, rows, columns in (
            ("queues", seen.queues, QUEUE_COLUMNS),
            ("processes", seen.processes, _PROCESSES),
            ("next recurring runs", _planned(seen), _PLANNED),
            ("failures", seen.failures, _FAILED_JOBS),
        ):
            yield f"\n{title}:" if rows else f"\n{title}: none"
            if rows:
                yield from Table(rows, columns).lines(replace(form, columns=()))


def _planned(seen: overview.Overview) -> list[Row]:
    """Return the next runs; the schedule of a shipped task says that no file has it."""
    return [
        {**row, "schedule": f"{row['schedule']}, {SHIPPED}"}
        if row["source"] == SHIPPED
        else row
        for row in seen.recurring
    ]


def _sentence(seen: overview.Overview) -> str:
    if not seen.running:
        return "jobsd is not running"
    roots = sum(row["kind"] == "supervisor" for row in seen.alive)
    hosts = len({row["hostname"] for row in seen.alive})
    supervisors = "a supervisor" if roots == 1 else f"{roots} supervisors"
    where = "" if hosts == 1 else f", on {hosts} hosts"
    others = counted(len(seen.alive) - roots, "process", "processes")
    return f"jobsd is running: {supervisors} with {others}{where}"


def _jobs(found: overview.Totals) -> str:
    parts = [f"{state} {found.shown(state)}" for state in _STATES]
    if found.retries:
        parts[0] += f" ({counted(found.retries, 'retry', 'retries')})"
    # A state and its number stay on one line.
    return ", ".join(part.replace(" ", _NEVER_APART) for part in parts)


def _clipped(lines: Sequence[str], form: Format) -> Iterator[str]:
    """Yield the lines that the terminal has room for."""
    left = None if form.height is None else form.height - 1
    for line in lines:
        if left is not None:
            shown = cells(_COLOR.sub("", line))
            left -= max(1, ceil(shown / (form.width or shown or 1)))
            if left < 0:
                return
        yield line


def _share(wanted: Sequence[int], lines: int | None) -> list[int]:
    """Return how many rows each section gets, distributed one by one.

    A section that does not get all its rows uses one of its lines to show that.
    """
    if lines is None or sum(wanted) <= lines:
        return list(wanted)
    counts = [0] * len(wanted)
    for index in cycle(range(len(wanted))):
        if lines <= 0 or counts == list(wanted):
            return counts
        if counts[index] < wanted[index]:
            counts[index] += 1
            lines -= 1
    return counts


def _shortened(section: Table, lines: int) -> Table:
    """Return a section of at most `lines` lines below its heading."""
    rows = section.rows
    if len(rows) <= lines:
        return replace(section, more="")
    kept = max(lines - 1, 0)
    more = f"and {len(rows) - kept:,} more: {section.more}"
    return replace(section, rows=rows[:kept], more=more)


def _load_and_memory() -> str:
    """Return the load of this host in the last minutes, and its memory."""
    load = " ".join(f"{each:.2f}" for each in os.getloadavg())
    here = machine.strain()
    used, memory = here["used_bytes"] / 2**30, here["memory_bytes"] / 2**30
    return f"load {load}, memory {used:.1f} of {memory:.1f} GiB"
