"""Keys of limits and unique jobs, and their unambiguous text.

A key is a str, an int, a UUID, a date, an enumeration's member (its value counts), an object
with a `pk` or an `id`, or a tuple of keys. Two keys are equal if they have the same structure
and the same texts: so 7 and "7" are one key, and so are a UUID and its text, which a program in
another language would send. All others differ: separators within parts are escaped.

    scope              the key ""
    scope/text         one value; "~" within a text is ~0, "/" is ~1 (as in a JSON Pointer)
    scope/a/b          a tuple of two or more
    ~(a/~)             a tuple within another one, and one of fewer than two
    module.Class~@7    an object with the id 7
    scope/~#5f3a…      all arguments: the SHA-256 of their text as PostgreSQL writes a jsonb

Any other value is refused: values that could only be guessed (True, 1.0 and Decimal("1.00") as
1), values whose text differs between processes (sets), and values with several texts (lists,
dictionaries, a datetime, whose instant has a text in each time zone).
"""

import json
from datetime import date, datetime
from enum import Enum
from functools import lru_cache
from typing import Any, cast
from uuid import UUID

from jobsd.text import is_seen

from .json_kinds import is_list, is_object

BYTES_MAX = 1000
WHAT_FITS = f"at most {BYTES_MAX} bytes of printable text"

_WHAT_KEYS_ARE = (
    "a key is a str, int, UUID, date, Enum, an object with an `id`, or a tuple of these"
)
_NO_KEYS = (
    bool, float, complex, bytes, bytearray, list, dict, set, frozenset, datetime, type,
)  # fmt: skip
_DEPTH_MAX = 20
_encode = json.JSONEncoder(ensure_ascii=False).encode
_UNORDERED = ("$set", "$frozenset", "$dict")


class UnfitKeyError(ValueError):
    """A value is not a valid key; the message continues after the name of its owner."""


def encode(scope: str, key: object) -> str:
    """Return a key within a scope (a job's name, or a group) as text.

    Raises:
        UnfitKeyError: if it is not a valid key, or too long.
    """
    # Most keys have one of these types, and a bulk makes one for each job.
    if type(key) is int:
        try:
            whole = f"{_before(scope)}{key}"
        except ValueError:
            raise _too_long(key) from None
    elif type(key) is str and key:
        whole = f"{_before(scope)}{_escaped(key)}"
    elif isinstance(key, tuple):
        items = cast("tuple[object, ...]", key)
        text = "/".join(map(_text, items)) if len(items) > 1 else _text(items)
        whole = f"{_before(scope)}{text}"
    elif text := _text(key):
        whole = f"{_before(scope)}{text}"
    else:
        return _fit(_escaped(scope))
    # This shortcut saves two calls for most keys.
    if whole.isascii() and whole.isprintable() and len(whole) <= BYTES_MAX:
        return whole
    return _fit(whole)


@lru_cache(maxsize=1000)
def _before(scope: str) -> str:
    return f"{_escaped(scope)}/"


def digest(scope: str, written: Any) -> str:  # noqa: ANN401 - any JSON
    """Return the key that identifies a job's arguments within a scope.

    Raises:
        UnfitKeyError: if the scope is too long.
    """
    import hashlib  # noqa: PLC0415 - it is large, and `check` hashes nothing

    text = _encode(_in_order(written))
    return f"{_before_digest(scope)}{hashlib.sha256(text.encode()).hexdigest()}"


@lru_cache(maxsize=1000)
def _before_digest(scope: str) -> str:
    """Return the prefix of a scope's digests, which all have the same length."""
    before = f"{_escaped(scope)}/~#"
    _fit(before + "0" * 64)
    return before


def _in_order(written: Any) -> Any:  # noqa: ANN401 - any JSON
    """Return JSON with names of objects in PostgreSQL's order, and sets in a fixed order."""
    if is_list(written):
        return [_in_order(item) for item in written]
    if not is_object(written):
        return written
    if len(written) == 1:
        ((name, value),) = written.items()
        found = _in_order(value)
        if name in _UNORDERED and is_list(found):
            found.sort(key=_bytes)
        return {name: found}
    return {name: _in_order(written[name]) for name in sorted(written, key=_name_order)}


def _bytes(item: Any) -> bytes:  # noqa: ANN401 - any JSON
    return _encode(item).encode()


def _name_order(name: str) -> tuple[int, bytes]:
    encoded = name.encode()
    return len(encoded), encoded


def fits(text: str) -> bool:
    """Return whether a text is valid as a scope, or as a whole key."""
    return len(text.encode(errors="replace")) <= BYTES_MAX and is_seen(text)


def _fit(text: str) -> str:
    if not fits(text):
        raise UnfitKeyError(f"{text[:60]!r}… is longer or other than {WHAT_FITS}")
    return text


def _text(part: object, depth: int = 0) -> str:
    """Return one part of a key as text; "/" occurs in it only between ~( and ~)."""
    # Most parts are one of these.
    if type(part) is str:
        return _escaped(part)
    if type(part) is int:
        return _number(part)
    if depth > _DEPTH_MAX:
        raise UnfitKeyError(f"is nested deeper than {_DEPTH_MAX} levels, or in itself")
    # The members of some enumerations are also texts or numbers, but with another text.
    while isinstance(part, Enum):
        part = part.value
    if isinstance(part, str):
        return _escaped(str.__str__(part))
    if isinstance(part, int) and not isinstance(part, bool):
        return _number(part)
    if isinstance(part, UUID):
        return str(part)
    if isinstance(part, date) and not isinstance(part, datetime):
        return date.isoformat(part)
    if isinstance(part, tuple):
        items = cast("tuple[object, ...]", part)
        return f"~({''.join(f'{_text(item, depth + 1)}/' for item in items)}~)"
    return _object(part, depth)


def _escaped(text: str) -> str:
    return text.replace("~", "~0").replace("/", "~1")


def _number(number: int) -> str:
    try:
        return int.__repr__(number)
    except ValueError:
        raise _too_long(number) from None


def _too_long(number: int) -> UnfitKeyError:
    # Python writes no longer numbers.
    return UnfitKeyError(f"a number of {number.bit_length()} bits is too long")


def _object(part: object, depth: int) -> str:
    if isinstance(part, _NO_KEYS):
        raise UnfitKeyError(f"{part!r:.60} is not a valid key: {_WHAT_KEYS_ARE}")
    for attribute in ("pk", "id"):
        row_id = getattr(part, attribute, None)
        if row_id is not None and not callable(row_id):
            # Not `type(part)`: a lazy object has the class of its target here.
            kind = part.__class__
            name = _escaped(f"{kind.__module__}.{kind.__qualname__}")
            return f"{name}~@{_text(row_id, depth + 1)}"
    raise UnfitKeyError(f"{part!r:.60} is not a valid key, and has no `id`: {_WHAT_KEYS_ARE}")
