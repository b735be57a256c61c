"""Turns PyYAML's errors into faults with their position and advice."""

import re
from collections.abc import Iterator

import yaml
from yaml.reader import ReaderError

from .source import Source
from .substitution import FORMS, Masked

# PyYAML's words, ours, and the advice. `context` is matched, too.
_WORDS = (
    (r"found character '\\t'", "a tab can't indent YAML", "indent with spaces"),
    (
        r"found character '(.)' that cannot start any token",
        r"a value can't begin with \1",
        "put the value in quotes",
    ),
    (r"quoted scalar.*found unexpected end of stream", "this quote is never closed", ""),
    (
        r"quoted scalar.*found unexpected document separator",
        "this quote is never closed",
        "",
    ),
    (
        r"mapping values are not allowed here",
        "a colon can't stand here",
        "put a text that has a colon in it in quotes, and indent the keys of one mapping alike",
    ),
    (
        r"could not find expected ':'",
        "a colon is missing after this key",
        "write `key: value`",
    ),
    (r"flow sequence.*expected ',' or '\]'", 'this "[" is not closed', "close it with ]"),
    (r"flow mapping.*expected ',' or '\}'", 'this "{" is not closed', "close it with }"),
    (
        r"block mapping.*expected <block end>",
        "this line fits neither the mapping above it nor another one",
        "indent the keys of one mapping alike",
    ),
    (
        r"block collection.*expected <block end>",
        "this line fits neither the list above it nor anything else",
        "indent the dashes of one list alike",
    ),
    (r"but found another document", "a second document begins here", ""),
    (
        r"unknown escape character",
        "there is no such escape",
        'write \\\\ for a backslash, or use single quotes: "\\" means nothing in them',
    ),
)
# These are reported where the mistake begins, not where PyYAML notices it.
_BEGAN = re.compile(
    r"quoted scalar.*found unexpected|simple key|flow (?:sequence|mapping).*expected ','"
)


def in_words(
    error: yaml.YAMLError, source: Source, masked: Masked
) -> Iterator[tuple[int, int, str, str]]:
    """Yield start, end, message and hint for each error.

    A malformed variable often breaks the YAML around it: the ones outside of comments are
    reported, and the error itself unless it is in the line of one of them or the next.
    """
    start, message, hint = _first(error)
    line, _ = source.position(start)
    reported: set[int] = set()
    for found in masked.substitutions:
        its_line, _ = source.position(found.start)
        if found.problem and not _commented(masked.text, found.start):
            yield found.start, found.end, found.problem, f"write {FORMS}"
            reported |= {its_line, its_line + 1}
        elif its_line == line:
            hint = "a variable gives one value; it can't add keys"
    if line not in reported:
        width = 3 if masked.text.startswith("---", start) else 1
        yield start, start + width, message, hint


def _first(error: yaml.YAMLError) -> tuple[int, str, str]:
    if isinstance(error, ReaderError):
        return int(error.position), "this character can't stand in YAML", ""
    if not isinstance(error, yaml.MarkedYAMLError):
        return 0, f"this is not YAML: {error}", ""
    problem = f"{error.context or ''} {error.problem or ''}"
    began = error.context_mark if _BEGAN.search(problem) else None
    mark = began or error.problem_mark or error.context_mark
    start = mark.index if mark else 0
    for said, message, hint in _WORDS:
        if found := re.search(said, problem):
            return start, found.expand(message), hint
    return start, f"this is not YAML: {problem.strip()}", ""


def _commented(text: str, index: int) -> bool:
    line = text[max(text.rfind("\n", 0, index) + 1, index - 1024) : index]
    return re.search(r"(?:^|\s)#", line) is not None
