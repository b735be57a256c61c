"""Passwords, removed from all lines that are logged or printed.

A text is prose that may contain URLs and connection strings, perhaps quoted or escaped once
more. The end of a password in it is a guess: rather too much is hidden than too little. The
passwords in use are hidden everywhere, unless they look like words: hiding these would spoil
every line, and reveal the password by the gaps. Also hidden are the values after names of
secrets: `Authorization`, and those of the project.
"""

import json
import re
from collections.abc import Callable, Iterable
from typing import Any, cast
from urllib.parse import quote, unquote

from .layouts import in_json, shown

HIDDEN = "***"
_SHORTEST = 8
_MOST = 32

# Up to the last @ of the word; if it has none, of the line, for a password may have spaces in
# it; without any, since it was cut off, to the end of the word. A port stays, and so does the
# end of an IPv6 address, and the form that our hints show. None of it crosses a second "://",
# which also bounds the work.
_IN_URL = re.compile(
    r"""(?P<before>\bpostgres(?:ql)?(?:\+\w+)?://[^\s:/@]*:)(?!PASSWORD@)
    (?P<secret>(?:(?!://)\S)*(?=@)
        | (?:(?!://)[^\n])*(?=@)
        | (?!(?:\d{0,5}|[\da-f:.%]{0,60}\w{0,20}\](?::\d{0,5})?)
            (?:[/,?'")\]};:.\\]|\s|\Z))\S+)""",
    re.VERBOSE | re.IGNORECASE,
)
_IN_OTHER_URL = re.compile(
    r"(?P<before>://[^\s:/@\"']*:)(?!PASSWORD@)(?P<secret>[^\s/\"']+)(?=@)"
)
_PARAMETER = re.compile(r"(?P<before>[?&](?P<name>[^\s?&=]+)=)(?P<secret>[^\s&]*)")
# As libpq reads it, with any number of backslashes in place of one: the whole may have been
# quoted once more.
_IN_WORDS = re.compile(
    r"""(?P<before>(?<![\w?&])\w*password\s*=\s*)
    (?P<secret>\\*'(?:[^'\\\n]|\\+.)*'?\S*
        | \\*"(?:[^"\\\n]|\\+.)*"?\S*
        | (?:\\+.?|[^\s\\])+)""",
    re.VERBOSE | re.IGNORECASE,
)
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
# A name, quoted or not, then its value: a quoted text; brackets, to the end of the line; a word
# after "=" or, as in JSON, after a name in quotes; otherwise the rest of the line, as in a
# header. Quotes may have backslashes, as above; a bound of them bounds the work.
_BEHIND_A_NAME = r"""
    (?P<before>(?<!\w)(?<!\w-)
        (?P<quoted>\\{{0,15}}["'])?(?:{names})(?(quoted)(?P=quoted))\s*(?:(?P<equal>=>?)|:)\s*)
    (?P<secret>[a-z]{{0,2}}(?P<quote>\\{{0,15}}["'])
            (?:(?!(?P=quote))(?:\\+.|[^\\\n]))*(?:(?P=quote))?
        | [\[({{][^\n]*
        | (?(equal)(?:(?:bearer|basic)\s+)?\S+|(?(quoted)[^\s,}}\])]+|[^\n]+)))"""

_known: tuple[str, ...] = ()
_AUTHORIZATION = ("authorization", "proxy-authorization")


def _behind(names: Iterable[str]) -> re.Pattern[str]:
    """Return a pattern for the values of these names; "-" and "_" in them are alike."""
    spelt = "|".join(re.sub(r"_|\\?-", "[-_]", re.escape(name)) for name in names)
    return re.compile(_BEHIND_A_NAME.format(names=spelt), re.VERBOSE | re.IGNORECASE)


_in_named = _behind(_AUTHORIZATION)
_names: frozenset[str] = frozenset()
_stems: tuple[str, ...] = ("password", "authorization")
"""Every name whose value is redacted contains one of these words."""


def hide(passwords: Iterable[str]) -> None:
    """Hide these passwords from now on, in this process and its later forks."""
    global _known  # noqa: PLW0603 - replaced as a whole: any thread may be reading it
    for password in passwords:
        if len(password) >= _SHORTEST and not password.isalpha():
            spelt = {password, quote(password, safe=""), _in_json(password)}
            _known = tuple(dict.fromkeys((*sorted(spelt, key=len), *_known)))[:_MOST]


def hide_behind(names: Iterable[str]) -> None:
    """Hide values after these names from now on, in this process and its later forks.

    In `name=value`, `name: value`, JSON, a header, and a fact of a line of the log.
    """
    global _in_named, _names, _stems  # noqa: PLW0603 - replaced as a whole, as above
    _names = frozenset(map(_spelt, names))
    words = {max(name.split("_"), key=len) for name in _names}
    _stems = ("password", "authorization", *sorted(words))
    _in_named = _behind(sorted({*_names, *_AUTHORIZATION}))


def is_suspect(text: str) -> bool:
    """Return whether a text may contain a password; called for every line."""
    return (
        "://" in text
        or any(map(text.lower().__contains__, _stems))
        or any(password in text for password in _known)
    )


def redact(text: str) -> str:
    """Return the text without the passwords of URLs, and without the values of known names."""
    return _covered(text, lambda _: HIDDEN)


def starred(text: str) -> str:
    """Return the text with a star for each hidden letter; the rest keeps its position."""
    return _covered(text, lambda secret: "*" * len(secret))


def redacted(value: Any, *, named: bool = False) -> Any:  # noqa: ANN401 - a fact is of any type
    """Return a value without the passwords of all texts in it, at any depth.

    With `named`, also without its values under the names of secrets.
    """
    if isinstance(value, str):
        return redact(value)
    if value is None or isinstance(value, bool | int | float):
        return value
    try:
        clean = json.loads(_STRING.sub(_redact_string, in_json({"": value})))[""]
        return _unnamed(clean) if named else clean
    except RecursionError:
        return redact(shown(value))


def is_secret(name: str) -> bool:
    """Return whether the values of a name are hidden."""
    return (spelt := _spelt(name)) in _names or spelt.replace("_", "-") in _AUTHORIZATION


def _unnamed(value: Any) -> Any:  # noqa: ANN401 - any JSON
    if isinstance(value, list):
        return [_unnamed(item) for item in cast("Iterable[Any]", value)]
    if not isinstance(value, dict):
        return value
    members = cast("dict[str, Any]", value)
    return {key: HIDDEN if is_secret(key) else _unnamed(members[key]) for key in members}


def _spelt(name: str) -> str:
    return name.lower().replace("-", "_")


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
    for secret in (_IN_URL, _IN_OTHER_URL, _IN_WORDS, _in_named):
        text = secret.sub(hidden, text)
    return text


def _redact_string(found: re.Match[str]) -> str:
    return json.dumps(redact(json.loads(found[0])), ensure_ascii=False)


def _in_json(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)[1:-1]
