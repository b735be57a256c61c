"""Converts a job's arguments to JSON and back; refuses values that it could not restore.

A list holds positional arguments; an object holds keyword arguments; with both, the last
element of the list is `{"$keywords": {…}}`. Values without a JSON type are objects with one key
that begins with "$": `{"$decimal": "1.10"}`. Dictionaries that look like this themselves, or
whose keys are no strings, are written as `{"$dict": [[key, value], …]}`.

Nothing here imports, evaluates or unpickles: enumerations and dataclasses are found by the name
under which the program itself has registered them with `argument_type`.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from json import encoder
from json.scanner import make_scanner
from typing import Any

from jobsd.errors import ArgumentError

from .encoding import AS_THEY_ARE, is_tagged, read, write
from .json_kinds import is_list, is_object
from .types import argument_type

__all__ = ["SIZE_MAX", "argument_type", "check_size", "dump", "load", "written"]

# `json.dumps` and `JSONEncoder.encode` make an encoder at each call, and `json.loads` skips
# spaces around the text: that takes longer than encoding or decoding typical arguments. No
# value contains itself (`write` refuses cycles), so the encoder needs no markers.
_make_encoder: Callable[..., Any] = vars(encoder)["c_make_encoder"]  # missing in the stub
_chunks: Callable[[object, int], Iterable[str]] = _make_encoder(
    markers=None,
    default=json.JSONEncoder().default,
    encoder=encoder.encode_basestring,
    indent=None,
    key_separator=":",
    item_separator=",",
    sort_keys=False,
    skipkeys=False,
    allow_nan=False,
)
# The scanner behind `raw_decode`: saves one call per job.
_scan = make_scanner(json.JSONDecoder())  # type: ignore[arg-type]  # the stub is wrong

SIZE_MAX = 1024 * 1024
"""Bytes of JSON; a job that needs more should be given a reference."""


def dump(args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
    """Return the arguments as JSON text.

    Raises:
        ArgumentError: naming the argument that can't be written, or the size if too large.
    """
    try:
        text = "".join(_chunks(written(args, kwargs), 0))
    except (ValueError, RecursionError) as error:
        # `write` has limited the depth already; or the caller has lowered Python's limit of
        # digits.
        raise ArgumentError(f"the arguments can't be written as JSON: {error}") from error
    check_size(text)
    return text


def written(args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:  # noqa: ANN401 - JSON
    """Return the arguments as a JSON value.

    Raises:
        ArgumentError: naming the argument that can't be written.
    """
    items = [write(value, number) for number, value in enumerate(args, 1)]
    if not kwargs:
        return items
    keywords = {
        key if key.isidentifier() else write(key, "the name of an argument"): write(
            value, f"argument {key!r}"
        )
        for key, value in kwargs.items()
    }
    # Keywords alone are the object itself, unless it looks like a tagged value.
    plain = not items and not is_tagged(keywords)
    return keywords if plain else [*items, {"$keywords": keywords}]


def check_size(text: str) -> None:
    """Check that the JSON text is small enough to be stored.

    Raises:
        ArgumentError: if it is too large.
    """
    if len(text) * 4 > SIZE_MAX and (size := len(text.encode())) > SIZE_MAX:
        raise ArgumentError(
            f"the arguments take {size:,} bytes; at most {SIZE_MAX:,} are stored:"
            " pass a reference instead",
        )


def load(text: str) -> tuple[list[Any], dict[str, Any]]:
    """Return positional and keyword arguments from JSON text.

    Raises:
        ArgumentError: if it has a type unknown to this program, or is no list or object.
    """
    if text == "[]":
        return [], {}
    try:
        raw, end = _scan(text, 0)
        if end != len(text):
            raw = json.loads(text)
    except (ValueError, RecursionError, StopIteration) as error:
        raise ArgumentError(f"the arguments are not valid JSON: {error}") from error
    if raw.__class__ is list and AS_THEY_ARE.issuperset(map(type, raw)):
        # The usual case: plain values need no conversion.
        return raw, {}
    items, keywords = _split(raw)
    return (
        [read(value) for value in items],
        {key: read(value) for key, value in keywords.items()},
    )


def _split(raw: Any) -> tuple[list[Any], dict[str, Any]]:  # noqa: ANN401 - any JSON
    if is_object(raw):
        return [], raw
    if not is_list(raw):
        raise ArgumentError("the arguments must be a JSON list or object")
    last = raw[-1] if raw else None
    if not is_object(last) or list(last) != ["$keywords"]:
        return raw, {}
    if not is_object(keywords := last["$keywords"]):
        raise ArgumentError("$keywords must hold an object")
    return raw[:-1], keywords
