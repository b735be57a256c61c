"""Every setting with the value that counts, and where that value comes from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from jobsd.configuration import queue_file
from jobsd.configuration.document import compose
from jobsd.configuration.faults import Faults
from jobsd.configuration.load import load
from jobsd.configuration.nodes import Mapping, Sequence
from jobsd.configuration.options import LISTS, SECTIONS, Options
from jobsd.configuration.sections import pick
from jobsd.configuration.setting import settings_of
from jobsd.configuration.source import read_source
from jobsd.instruments.redaction import redact

from .table import Column
from .values import length, plain

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobsd.configuration.nodes import Node
    from jobsd.configuration.setting import Setting

    from .project import Project

    Row = dict[str, Any]


def _text(value: object) -> str:
    return plain(value) or "-"


COLUMNS = (
    Column("setting", show=_text),
    Column("value", show=_text, on="pipe"),
    Column("shown", "VALUE", show=_text, cuts=True, on="terminal"),
    Column("source", "FROM", show=_text, rank=2, cuts=True),
)
DEFAULT = "default"


def settings(project: Project) -> Iterator[Row]:
    """Yield each setting as a start would read it; URLs are without their passwords.

    Raises:
        ConfigurationError: with every fault of files, environment and flags.
    """
    options = load(project.root, project.environ, project.flags)
    origins = _Origins(project, options)
    for field, key, row in settings_of(Options):
        yield _row(key, field, getattr(options, field), origins.of(row, (key,)))
    for section, options_class in SECTIONS.items():
        held = getattr(options, section)
        for number, each in enumerate(held if section in LISTS else [held]):
            index = (number,) if section in LISTS else ()
            name = f"{section}[{number}]" if index else section
            for field, key, row in settings_of(options_class):
                source = origins.of(row, (section, *index, key))
                yield _row(f"{name}.{key}", field, getattr(each, field), source)


def _row(name: str, field: str, value: object, source: str) -> Row:
    value = _simple(value)
    seconds = field.endswith("_s") and isinstance(value, int | float)
    shown = length(float(value)) if seconds and isinstance(value, int | float) else value
    return {"setting": name, "value": value, "shown": shown, "source": source}


def _simple(value: object) -> object:
    """Return a value as JSON has it."""
    match value:
        case frozenset() | set():
            return sorted(map(str, cast("frozenset[object]", value)))
        case tuple():
            return list(cast("tuple[object, ...]", value))
        case Path():
            return str(value)
        case str():
            return redact(value)
        case _:
            return value


class _Origins:
    """Where values come from: a flag beats its variable, a variable beats the file."""

    def __init__(self, project: Project, options: Options) -> None:
        self._project = project
        self._file = _file(project, options)

    def of(self, row: Setting[object], path: tuple[str | int, ...]) -> str:
        """Return the flag, the variable, FILE:LINE, or that it is the default."""
        environ, written = self._project.environ, _find(self._file, path)
        if row.flag_name in self._project.flags.given:
            return row.flag_option
        if row.variable and environ.get(row.variable, "").strip():
            return row.variable
        if written is not None:
            return f"{written.span.source.name}:{written.span.line}"
        if row.fallback and environ.get(row.fallback, "").strip():
            return row.fallback
        return DEFAULT


def _file(project: Project, options: Options) -> Node | None:
    """Return the part of the file that counts; it has no faults."""
    source = read_source(project.root, options.config)
    if source is None:
        return None
    root = compose(source, project.environ, faults := Faults())
    return pick(root, options.environment, queue_file.is_own, faults).used


def _find(node: Node | None, path: tuple[str | int, ...]) -> Node | None:
    """Return what is written at a path of keys and numbers, None when nothing is."""
    for step in path:
        match node, step:
            case Mapping(pairs=pairs), str() if step in pairs:
                node = pairs[step].value
            case Sequence(items=items), int() if step < len(items):
                node = items[step]
            case _:
                return None
    return node
