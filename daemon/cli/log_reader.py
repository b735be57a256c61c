"""Reads the log for `logs`: finds it, selects lines, and formats them for people.

A line is a JSON object, or text for people. The stack of the latter follows in indented lines,
which belong to the line above them.
"""

import json
import os
import re
import subprocess
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import Any, TextIO, cast

from jobsd import errors
from jobsd.daemon import values
from jobsd.daemon.tree import supervisor_request
from jobsd.logs import layouts
from jobsd.logs.layouts import LEVELS
from jobsd.supervisor.requests import peer, running
from jobsd.text import one_line

from .project import Project

POLL_S = 0.2
_FOR_PEOPLE = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) (\w+) +(.*)")
_FACT = re.compile(r" (job_id|class_name)=(\S+)")


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the log in parsed form; `rest` are the lines of its stack."""

    text: str
    facts: dict[str, Any]
    is_json: bool
    rest: tuple[str, ...] = ()

    def shown(self, *, colour: bool) -> str:
        """Return it as people read it."""
        if not self.is_json:
            return "\n".join(map(one_line, (self.text, *self.rest)))
        layout = layouts.in_colour if colour else layouts.for_people
        try:
            return layout(self.facts)
        except (KeyError, ValueError, TypeError):
            # An object, but not in our form.
            return one_line(self.text)

    def raw(self) -> str:
        """Return it as it was written, without control characters for the terminal."""
        if self.is_json:
            return self.text if self.text.isprintable() else values.json_text(self.facts)
        return self.shown(colour=False)

    def document(self) -> dict[str, Any]:
        """Return it as an object."""
        return self.facts if self.is_json else {"text": self.raw(), **self.facts}


@dataclass(frozen=True, slots=True)
class Wanted:
    """The filter of lines."""

    level: str = "debug"
    job_id: int | None = None
    class_pattern: str | None = None
    grep: re.Pattern[str] | None = None
    since_s: float | None = None

    def admits(self, line: Line) -> bool:
        """Return whether a line passes; a line without a level has level info."""
        facts = line.facts
        level = LEVELS.get(str(facts.get("level")), LEVELS["info"])
        return (
            level >= LEVELS[self.level]
            and (self.job_id is None or _is_of(facts, self.job_id))
            and (self.class_pattern is None or self._is_of_class(facts))
            and (self.grep is None or any(map(self.grep.search, (line.text, *line.rest))))
            and (self.since_s is None or _age_s(facts) <= self.since_s)
        )

    def _is_of_class(self, facts: dict[str, Any]) -> bool:
        return fnmatchcase(str(facts.get("class_name", "")), self.class_pattern or "*")


def _is_of(facts: dict[str, Any], job_id: int) -> bool:
    several = facts.get("job_ids")
    return facts.get("job_id") == job_id or (
        isinstance(several, list) and job_id in cast("list[object]", several)
    )


def _age_s(facts: dict[str, Any]) -> float:
    try:
        moment = datetime.fromisoformat(str(facts.get("timestamp")))
        return (datetime.now(UTC) - moment.astimezone(UTC)).total_seconds()
    except (ValueError, OverflowError):
        return float("inf")


def parse(texts: Iterable[str | None]) -> Iterator[Line | None]:
    """Yield the lines of a log, and None whenever there are no more for now."""
    held: Line | None = None
    for text in texts:
        if held is not None and text is not None and text.startswith("    "):
            held = Line(held.text, held.facts, held.is_json, (*held.rest, text))
            continue
        if held is not None:
            yield held
        held = None if text is None else _line(text)
        if text is None:
            yield None
    if held is not None:
        yield held


def _line(text: str) -> Line:
    if text.startswith("{"):
        try:
            return Line(text, cast("dict[str, Any]", json.loads(text)), is_json=True)
        except (ValueError, RecursionError):
            return Line(text, {}, is_json=False)
    found = _FOR_PEOPLE.fullmatch(text)
    if found is None:
        return Line(text, {}, is_json=False)
    facts: dict[str, Any] = {"timestamp": found[1], "level": found[2]}
    for name, given in _FACT.findall(text):
        facts[name] = int(given) if given.isdecimal() else given
    return Line(text, facts, is_json=False)


def read_log(project: Project, *, follow: bool) -> Iterator[str | None]:
    """Return the lines of the project's log; to `follow` it never ends, see `parse`.

    Raises:
        NotFoundError: the log is not kept.
    """
    path = project.options.logs.file
    if path is not None:
        if not path.exists():
            raise errors.NotFoundError(f"there is no log {path} yet; `start` writes it")
        return _of_file(str(path), follow=follow)
    for connection in running(project.root):
        with connection:
            if unit := supervisor_request.systemd_unit(peer(connection).pid):
                return _of_journal(unit, follow=follow)
    raise errors.NotFoundError(
        "the log is kept in no file (logs.file in queue.yml, JOBSD_LOG_FILE), and no supervisor"
        " of this folder runs under systemd: it is on the stdout of `start`"
    )


def _of_file(path: str, *, follow: bool) -> Iterator[str | None]:
    file = _open(path)
    try:
        yield from _complete(file)
        while follow:
            yield None
            time.sleep(POLL_S)
            yield from _complete(file)
            if _was_replaced(path, file):
                file.close()
                file = _open(path)
    finally:
        file.close()


def _open(path: str) -> TextIO:
    return open(path, encoding="utf-8", errors="backslashreplace", newline="\n")  # noqa: PTH123 - closed by its caller


def _complete(file: TextIO) -> Iterator[str]:
    """Yield the complete lines; the others are being written."""
    while True:
        at = file.seek(0, os.SEEK_CUR)
        line = file.readline()
        if not line.endswith("\n"):
            file.seek(at)
            return
        yield line[:-1]


def _was_replaced(path: str, file: TextIO) -> bool:
    """Return whether the file was rotated: moved away, or cut."""
    try:
        now, then = os.stat(path), os.fstat(file.fileno())  # noqa: PTH116 - beside fstat
    except OSError:
        return False
    return (now.st_dev, now.st_ino) != (then.st_dev, then.st_ino) or now.st_size < file.seek(
        0, os.SEEK_CUR
    )


def _of_journal(unit: str, *, follow: bool) -> Iterator[str | None]:
    command = ["journalctl", "--no-pager", "--output=cat", f"--unit={unit}"]
    if follow:
        # journalctl does not show where the past ends.
        command += ["--follow", "--lines=100"]
        yield None
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, errors="replace") as read:
        yield from (line.rstrip("\n") for line in read.stdout or ())
