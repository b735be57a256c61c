"""Passwords, removed from everything that is logged or printed.

A text is prose with URLs and connection strings somewhere in it, perhaps quoted or escaped
once more. Where a password ends in it is a guess: what is hidden is rather too much than
too little. The passwords in use are hidden wherever they stand, unless they look like
words: hiding these would spoil every line, and reveal the password by the gaps.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

from jobsd.late import pattern

from .layouts import in_json, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_HIDDEN = "***"
_SHORTEST = 8
_MOST = 32

# Up to the last @ of the word; where it has none, of the line, for a password may have
# spaces in it; without any, since it was cut off, to the end of the word. A port stays, and
# so does the end of an IPv6 address, and the form that our hints show. None of it crosses a
# second "://", which also bounds the work.
_IN_URL = pattern(
    r"""(?P<before>\bpostgres(?:ql)?(?:\+\w+)?://[^\s:/@]*:)(?!PASSWORD@)
    (?P<secret>(?:(?!://)\S)*(?=@)
        | (?:(?!://)[^\n])*(?=@)
        | (?!(?:\d{0,5}|[\da-f:.%]{0,60}\w{0,20}\](?::\d{0,5})?)
            (?:[/,?'")\]};:.\\]|\s|\Z))\S+)""",
    re.VERBOSE | re.IGNORECASE,
)
_IN_OTHER_URL = pattern(r"(?P<before>://[^\s:/@\"']*:)(?!PASSWORD@)(?P<secret>[^\s/\"']+)(?=@)")
_PARAMETER = pattern(r"(?P<before>[?&](?P<name>[^\s?&=]+)=)(?P<secret>[^\s&]*)")
# As libpq reads it, and with any number of backslashes where it has one: those are of
# whoever has quoted the whole once more.
_IN_WORDS = pattern(
    r"""(?P<before>(?<![\w?&])\w*password\s*=\s*)
    (?P<secret>\\*'(?:[^'\\\n]|\\+.)*'?\S*
        | \\*"(?:[^"\\\n]|\\+.)*"?\S*
        | (?:\\+.?|[^\s\\])+)""",
    re.VERBOSE | re.IGNORECASE,
)
_STRING = pattern(r'"(?:[^"\\]|\\.)*"')

_known: tuple[str, ...] = ()


def hide(passwords: Iterable[str]) -> None:
    """Hide these from now on wherever they stand, in this process and those it forks."""
    global _known  # noqa: PLW0603 - replaced as a whole: any thread may be reading it
    for password in passwords:
        if len(password) >= _SHORTEST and not password.isalpha():
            spelt = {password, quote(password, safe=""), _in_json(password)}
            _known = tuple(dict.fromkeys((*sorted(spelt, key=len), *_known)))[:_MOST]


def is_suspect(text: str) -> bool:
    """Return whether there may be a password in a text; it is asked of every line."""
    return (
        "://" in text
        or "assword" in text
        or "ASSWORD" in text
        or any(password in text for password in _known)
    )


def redact(text: str) -> str:
    """Return the text with the passwords of URLs and connection strings hidden."""
    return _covered(text, lambda _: _HIDDEN)


def starred(text: str) -> str:
    """Return the same with a star for each letter, so that all else stays in its place."""
    return _covered(text, lambda secret: "*" * len(secret))


def redacted(value: Any) -> Any:  # noqa: ANN401 - a fact is of any type
    """Return a value without the passwords of all texts in it, at any depth."""
    if isinstance(value, str):
        return redact(value)
    if value is None or isinstance(value, bool | int | float):
        return value
    try:
        return json.loads(_STRING.sub(_redact_string, in_json({"": value})))[""]
    except RecursionError:
        return redact(shown(value))


def _covered(text: str, cover: Callable[[str], str]) -> str:
    if not is_suspect(text):
        return text

    def hidden(found: re.Match[str]) -> str:
        return found["before"] + cover(found["secret"])

    def parameter(found: re.Match[str]) -> str:
        return hidden(found) if "password" in unquote(found["name"]).lower() else found[0]

    for password in _known:
        text = text.replace(password, cover(password))
    # First the parameters: an @ in one of them ends no user's name and password.
    text = _PARAMETER.sub(parameter, text)
    for secret in (_IN_URL, _IN_OTHER_URL, _IN_WORDS):
        text = secret.sub(hidden, text)
    return text


def _redact_string(found: re.Match[str]) -> str:
    return json.dumps(redact(json.loads(found[0])), ensure_ascii=False)


def _in_json(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)[1:-1]
