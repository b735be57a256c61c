"""Lists every setting with its effective value and the origin of that value."""

from collections.abc import Iterator
from collections.abc import Mapping as Environment
from pathlib import Path
from typing import cast

from jobsd.logs.redaction import redact

from . import document, load, queue_file, sections, setting
from .faults import Faults
from .flags import Flags
from .found_modules import FOLDER
from .options import LISTS, SECTIONS, Options
from .source import Mapping, Node, Scalar, Sequence, read_source

Row = dict[str, object]

DEFAULT = "default"
FOUND = f"{FOLDER} (found)"


def settings(root: Path, environ: Environment[str, str], flags: Flags) -> Iterator[Row]:
    """Yield each setting as a start would read it; URLs are without their passwords.

    `seconds`: the value is a time, or times by queue; `from_environment`: all or a part of it
    is the value of a variable.

    Raises:
        ConfigurationError: with every fault of the file, the environment and the flags.
    """
    options = load.load_for_commands(root, environ, flags)
    origins = _Origins(environ, flags, _file(root, environ, options))
    for field, key, row in setting.settings_of(Options):
        value, origin = getattr(options, field), origins.of(row, (key,))
        if field == "imports" and value and origin[0] == DEFAULT:
            origin = FOUND, False
        yield _row(key, field, value, origin)
    for section, options_class in SECTIONS.items():
        held = getattr(options, section)
        for number, each in enumerate(held if section in LISTS else [held]):
            index = (number,) if section in LISTS else ()
            name = f"{section}[{number}]" if index else section
            for field, key, row in setting.settings_of(options_class):
                origin = origins.of(row, (section, *index, key))
                yield _row(f"{name}.{key}", field, getattr(each, field), origin)


def _row(name: str, field: str, value: object, origin: tuple[str, bool]) -> Row:
    simple = _simple(value)
    return {
        "setting": name,
        "value": simple,
        "source": origin[0],
        "seconds": field.endswith("_s") and isinstance(simple, int | float | dict),
        "from_environment": origin[1],
    }


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
    """The origins of values: a flag beats its variable, a variable beats the file."""

    def __init__(self, environ: Environment[str, str], flags: Flags, file: Node | None) -> None:
        self._environ = environ
        self._flags = flags
        self._file = file

    def of(self, row: setting.Setting[object], path: tuple[str | int, ...]) -> tuple[str, bool]:
        """Return the flag, variable, FILE:LINE, or default; whether variables were used."""
        written = _find(self._file, path)
        if row.flag_name in self._flags.given:
            return row.flag_option, False
        if row.variable and self._environ.get(row.variable, "").strip():
            return row.variable, True
        if written is not None:
            source = f"{written.span.source.name}:{written.span.line}"
            return source, _has_variables(written)
        if row.fallback and self._environ.get(row.fallback, "").strip():
            return row.fallback, True
        return DEFAULT, False


def _has_variables(node: Node) -> bool:
    match node:
        case Scalar(variables=variables):
            return bool(variables)
        case Sequence(items=items):
            return any(map(_has_variables, items))
        case Mapping(pairs=pairs):
            return any(_has_variables(pair.value) for pair in pairs.values())


def _file(root: Path, environ: Environment[str, str], options: Options) -> Node | None:
    """Return the selected part of the file; it has no faults."""
    source = read_source(root, options.config)
    if source is None:
        return None
    whole = document.compose(source, environ, faults := Faults())
    return sections.pick(whole, options.environment, queue_file.is_own, faults).used


def _find(node: Node | None, path: tuple[str | int, ...]) -> Node | None:
    """Return the node at a path of keys and numbers, or None."""
    for step in path:
        match node, step:
            case Mapping(pairs=pairs), str() if step in pairs:
                node = pairs[step].value
            case Sequence(items=items), int() if step < len(items):
                node = items[step]
            case _:
                return None
    return node
