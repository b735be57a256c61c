"""The flags and the variables of the environment: each flag beats its variable."""

from collections.abc import Mapping
from typing import Any

from . import fields, source
from .faults import Faults
from .options import SECTIONS, Options, StartOptions
from .setting import Setting, settings_of
from .source import Scalar

Text = str | bool | tuple[str, ...] | None


ROWS = tuple(
    row
    for options in (Options, *SECTIONS.values())
    for _, _, row in settings_of(options)
    if row.flag or row.variable
)
"""The settings that a flag or a variable can give, as `start --help` lists them."""


class Flags:
    """The flags of `start` as typed, by their names with underscores; None: not given.

    They are not checked yet.
    """

    def __init__(self, **given: Text) -> None:
        unknown = given.keys() - {row.flag_name for row in ROWS}
        if unknown:
            raise TypeError(f"unknown flags: {', '.join(sorted(unknown))}")
        self.given = {name: text for name, text in given.items() if text not in (None, ())}


def place(options: Options, flag: str, key: str) -> str:
    """Return where the value of a setting comes from, for a fault that a start finds.

    It never begins with a flag: such a fault would be a wrong use of the command.
    """
    by = dict(options.given).get(flag)
    if by is None:
        return f"{key} in {options.config}"
    return f"flag {by}" if by.startswith("--") else f"variable {by}"


class Given:
    """The values of flags and variables, each read once; faults name the flag or variable."""

    def __init__(self, environ: Mapping[str, str], flags: Flags, faults: Faults) -> None:
        self._environ = environ
        self._faults = faults
        self._values: dict[Setting[Any], Any] = {}
        self._by: dict[Setting[Any], str] = {}
        for row in ROWS:
            node = _flag(row, flags) or _variable(environ, row.variable)
            if node is not None:
                self._read(row, node)

    def start_options(self) -> dict[str, Any]:
        """Return the fields of `StartOptions`."""
        return {
            field: self.over(row, row.default_value())
            for field, _, row in settings_of(StartOptions)
        }

    def has(self, row: Setting[Any]) -> bool:
        """Return whether a flag or a variable gives this setting."""
        return row in self._values

    def by(self, row: Setting[Any]) -> str:
        """Return the flag or the variable that gives this setting, "" for none."""
        return self._by.get(row, "")

    def sources(self) -> tuple[tuple[str, str], ...]:
        """Return pairs: the name of a flag, and the flag or variable that gives its value."""
        return tuple((row.flag_name, by) for row, by in self._by.items() if row.flag)

    def over(self, row: Setting[Any], below: Any, *, written: bool = True) -> Any:  # noqa: ANN401 - of any setting
        """Return the effective value of a setting; `below` is the one of the file.

        It is the default where the file has none (`written`).
        """
        if row not in self._values and not written and row.fallback:
            node = _variable(self._environ, row.fallback)
            if node is not None:
                self._read(row, node)
        if row not in self._values:
            return below
        given = self._values[row]
        return tuple(dict.fromkeys((*(below or ()), *given))) if row.adds else given

    def _read(self, row: Setting[Any], node: Scalar) -> None:
        by = node.span.source.name
        if by.startswith("--") and not node.text.strip():
            # Most likely a variable of the shell that is not set: an empty value would select
            # all.
            self._faults.add(
                node.span, f"{by} is empty", "give a value, or leave the option out"
            )
            return
        value = fields.take(node, row.kind, by, self._faults, default=_FAULTY)
        if value is not _FAULTY:
            self._values[row], self._by[row] = value, by


_FAULTY = object()


def _flag(row: Setting[Any], flags: Flags) -> Scalar | None:
    text = flags.given.get(row.flag_name)
    if text is None:
        return None
    joined = ",".join(text) if isinstance(text, tuple) else str(text)
    return _scalar(row.flag_option, joined)


def _variable(environ: Mapping[str, str], name: str) -> Scalar | None:
    """Return the value of a variable as a node; an empty one counts as not set."""
    text = environ.get(name, "").strip()
    return _scalar(name, text) if text else None


def _scalar(by: str, text: str) -> Scalar:
    return Scalar(source.SourceSpan(source.Source(by, ""), 0, 0), text, plain=False)
