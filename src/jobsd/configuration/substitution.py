r"""Variables in a configuration file, by a grammar of literals in which nothing is evaluated.

    <%= ENV.fetch("NAME", value) %>   value where NAME is not set; a number, a text in
                                      either kind of quotes, true, false or nil
    <%= ENV["NAME"] %>                nothing where NAME is not set
    ${NAME:-value}                    value where NAME is not set or empty

Before the text is parsed, each of these is masked by as many characters of private use: so
quotes, commas and braces inside them can't end a YAML value, a variable can't add keys, and
every column stays the one of the file as written. `Masked.restore` puts the variables' values
into the scalars. Comments are never examined.
"""

import re
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, islice

FORMS = '<%= ENV.fetch("NAME", value) %>, <%= ENV["NAME"] %> or ${NAME:-value}'

_NAME = r"[A-Za-z_][A-Za-z0-9_]*"
_QUOTED_NAME = rf"""(?:"(?P<a>{_NAME})"|'(?P<b>{_NAME})')"""
_TEXT = r""""(?:[^"\\#]|\#(?!\{))*"|'[^'\\]*'"""
_LITERAL = rf"""(?P<default>{_TEXT}|-?[0-9]+(?:\.[0-9]+)?|true|false|nil)"""
_RUBY = re.compile(
    rf"""=\s* ENV (?: \[\s* {_QUOTED_NAME} \s*\]
         | \.fetch\(\s* {_QUOTED_NAME.replace("<a>", "<c>").replace("<b>", "<d>")}
           \s*,\s* {_LITERAL} \s*\) ) \s*""",
    re.VERBOSE,
)
_SHELL = re.compile(rf"\$\{{(?P<name>{_NAME}):-(?P<default>[^{{}}\n]*)\}}")
# `${` counts as a variable only in a form that a shell would read: a template passed to a job
# may contain "${user.name}".
_OPENING = re.compile(rf"<%|\$\{{(?={_NAME}[}}:?+=-])")
_PRIVATE = range(0xE000, 0xF900)
_LONGEST = 1024


@dataclass(frozen=True, slots=True)
class Substitution:
    """One of the three forms as it was written, or a text that is none of them (`problem`)."""

    start: int
    end: int
    name: str = ""
    default: str = ""
    or_empty: bool = False
    problem: str = ""

    def value(self, environ: Mapping[str, str]) -> str:
        """Return the text that replaces it."""
        value = environ.get(self.name, self.default)
        return value or self.default if self.or_empty else value


class Masked:
    """A text with its substitutions masked."""

    def __init__(self, text: str) -> None:
        self.substitutions = tuple(_substitutions(text))
        self._starts = [found.start for found in self.substitutions]
        first, other = _unused(text)
        self._mask = re.compile(f"{first}{other}*")
        self.text = "".join(_masked(text, self.substitutions, first, other))

    def within(self, start: int, end: int) -> tuple[Substitution, ...]:
        """Return the substitutions between two positions of the text."""
        return self.substitutions[
            bisect_left(self._starts, start) : bisect_left(self._starts, end)
        ]

    def restore(self, text: str, values: list[str]) -> str:
        """Return a scalar's text with `values` in place of the masks."""
        following = iter(values)
        return self._mask.sub(lambda mask: next(following, mask[0]), text)


def _substitutions(text: str) -> Iterator[Substitution]:
    at = 0
    while opening := _OPENING.search(text, at):
        read = _ruby if opening[0] == "<%" else _shell
        found = read(text, opening.start())
        yield found
        at = found.end


def _ruby(text: str, start: int) -> Substitution:
    end = _closing(text, start, "%>")
    if end < 0:
        return Substitution(start, start + 2, problem='"<%" is not closed by "%>" on its line')
    found = _RUBY.fullmatch(text, start + 2, end - 2)
    if found is None:
        return Substitution(
            start, end, problem='the text between "<%" and "%>" is not a variable'
        )
    name = found["a"] or found["b"] or found["c"] or found["d"]
    default = found["default"] or ""
    return Substitution(start, end, name, "" if default == "nil" else _unquoted(default))


def _shell(text: str, start: int) -> Substitution:
    if found := _SHELL.match(text, start):
        default = _unquoted(found["default"])
        return Substitution(start, found.end(), found["name"], default, or_empty=True)
    end = _closing(text, start, "}")
    if end < 0:
        return Substitution(start, start + 2, problem='"${" is not closed by "}" on its line')
    return Substitution(start, end, problem='the text between "${" and "}" is not a variable')


def _closing(text: str, start: int, bracket: str) -> int:
    """Return where the bracket at `start` is closed; -1: not on its line."""
    line_end = text.find("\n", start, start + _LONGEST)
    end = text.find(bracket, start + 2, line_end if line_end >= 0 else start + _LONGEST)
    return end + len(bracket) if end >= 0 else -1


def _unquoted(text: str) -> str:
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
        return text[1:-1]
    return text


def _unused(text: str) -> tuple[str, str]:
    """Return two characters of private use that the text doesn't use itself.

    A text that uses all 6,400 of them gets the first two, and its own count as masks.
    """
    used = set(text)
    unused = (chr(c) for c in _PRIVATE if chr(c) not in used)
    first, other = islice(chain(unused, "\ue000\ue001"), 2)
    return first, other


def _masked(
    text: str, substitutions: tuple[Substitution, ...], first: str, other: str
) -> Iterator[str]:
    at = 0
    for found in substitutions:
        yield text[at : found.start]
        yield first + other * (found.end - found.start - 1)
        at = found.end
    yield text[at:]
