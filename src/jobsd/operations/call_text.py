"""A job and its arguments as people write them: `welcome(5, token='…')`.

It is made of the stored JSON alone: no module of the user's is imported, no value is decoded.
"""

from collections.abc import Mapping
from typing import Any

from jobsd.jobs import argument_writing, inspect
from jobsd.jobs.json_kinds import is_list, is_object
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
        # The arguments are longer than what was read of them.
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
    if argument_writing.is_tagged(value):
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
