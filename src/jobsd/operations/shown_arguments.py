"""Arguments as they may be shown: without those that `jobs.filter_arguments` names.

A keyword argument carries its name. The name of a positional one is in the job's signature:
commands import the project's modules for it, and a dashboard reads what the workers have
published. If the signature is unknown, every positional argument is hidden: one too many is
better than one too few.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from itertools import chain, repeat
from typing import Any

from jobsd.acts import inspect
from jobsd.acts.inspect import FILTERED, without
from jobsd.arguments import encoding
from jobsd.arguments.json_kinds import is_list, is_object
from jobsd.database.connection import Session
from jobsd.text import one_line

_BARE = ("$datetime", "$date", "$time", "$decimal", "$uuid", "$float")
_BRACKETS = {"$tuple": "({})", "$set": "{{{}}}", "$frozenset": "{{{}}}"}
_LENGTH_MAX = 2_000


def call_text(class_name: str, arguments: Any) -> str:  # noqa: ANN401 - any JSON
    """Return the call of a job as one line, with the last part of its name."""
    positional, keywords = arguments, {}
    if is_list(arguments):
        last = arguments[-1] if arguments else None
        if is_object(last) and list(last) == ["$keywords"]:
            positional, keywords = arguments[:-1], last["$keywords"]
    elif is_object(arguments):
        positional, keywords = [], arguments
    else:
        # The arguments are longer than the part that was read.
        positional = [Ellipsis]
    written = [*map(_written, positional), *_named(keywords)]
    text = f"{class_name.rpartition('.')[2]}({', '.join(written)})"
    return one_line(text if len(text) <= _LENGTH_MAX else f"{text[:_LENGTH_MAX]}…")


def _named(values: Mapping[str, Any]) -> list[str]:
    return [f"{name}={_written(value)}" for name, value in values.items()]


def _written(value: Any) -> str:  # noqa: ANN401 - any JSON
    if value is Ellipsis:
        return "…"
    if value == inspect.FILTERED:
        return inspect.FILTERED
    if is_list(value):
        return f"[{', '.join(map(_written, value))}]"
    if not is_object(value):
        return repr(value)
    if encoding.is_tagged(value):
        ((tag, held),) = value.items()
        return _tagged(tag, held)
    return f"{{{', '.join(f'{key!r}: {_written(held)}' for key, held in value.items())}}}"


def _tagged(tag: str, held: Any) -> str:  # noqa: ANN401 - any JSON
    if tag in _BARE:
        return str(held[0] if is_list(held) else held)
    if tag in _BRACKETS and is_list(held):
        return _BRACKETS[tag].format(", ".join(map(_written, held)))
    if (
        tag == "$dict"
        and is_list(held)
        and all(is_list(each) and len(each) == 2 for each in held)
    ):
        return f"{{{', '.join(f'{_written(key)}: {_written(each)}' for key, each in held)}}}"
    if tag in {"$enum", "$dataclass"} and is_list(held) and len(held) == 2:
        name = str(held[0]).rpartition(".")[2]
        if tag == "$enum":
            return f"{name}.{held[1]}"
        if is_object(held[1]):
            return f"{name}({', '.join(_named(held[1]))})"
    return f"{tag.removeprefix('$')}({_written(held)})"


Positional = Callable[[str], Sequence[str] | None]


class ShownArguments:
    """Redacts arguments that a project hides; if it hides none, nothing is imported.

    `positional` returns the names of a class's positional parameters, the last with a star if
    it takes any number; None if they are unknown.
    """

    def __init__(self, names: Iterable[str], positional: Positional) -> None:
        self.names = frozenset(names)
        self._positional = positional

    def of(self, class_name: str | None, arguments: Any) -> Any:  # noqa: ANN401 - any JSON
        """Return the arguments of a job as they may be shown."""
        if not self.names:
            return arguments
        if isinstance(arguments, str):
            # Too long to be read, so the names in it are unknown.
            return FILTERED
        if not is_list(arguments):
            return without(arguments, self.names)
        positional = arguments
        keywords: list[Any] = []
        if arguments and is_object(arguments[-1]) and "$keywords" in arguments[-1]:
            positional, keywords = arguments[:-1], arguments[-1:]
        named = zip(positional, self._parameters(class_name), strict=False)
        shown = [
            FILTERED if name in self.names or name is None else without(value, self.names)
            for value, name in named
        ]
        return [*shown, *(without(each, self.names) for each in keywords)]

    def command(self, text: str | None) -> str | None:
        """Return the command of a recurring task as it may be shown."""
        if text is None or not self.names:
            return text
        from jobsd.recurring.command import CommandError, parse_command  # noqa: PLC0415 - few hide

        try:
            call = parse_command(text)
        except CommandError:
            return FILTERED
        # Only the worker, which imports the class, knows the names of its positional arguments.
        values = [FILTERED for _ in call.args]
        values += [
            f"{key}={FILTERED if key in self.names else repr(without(value, self.names))}"
            for key, value in call.kwargs.items()
        ]
        return f"{call.target}({', '.join(values)})"

    def task(self, row: dict[str, Any]) -> dict[str, Any]:
        """Return a recurring task as it may be shown."""
        arguments = self.of(row["class_name"], row["arguments"])
        shown = {**row, "arguments": arguments, "command": self.command(row["command"])}
        if "activates" in row:
            shown["activates"] = row["class_name"] or shown["command"]
        return shown

    def _parameters(self, class_name: str | None) -> Iterable[str | None]:
        """Return the names of a job's positional parameters, as many as it may be given."""
        names = self._positional(class_name or "")
        if not names:
            return repeat(None)
        if names[-1].startswith("*"):
            return chain(names[:-1], repeat(names[-1][1:]))
        return chain(names, repeat(None))


def published_names(session: Session) -> Positional:
    """Return a reader of the published signatures; it reads all at its first use."""

    @cache
    def read() -> dict[str, list[str]]:
        from jobsd.jobs import published  # noqa: PLC0415 - few hide anything

        return published.positional(session)

    return lambda class_name: read().get(class_name)
