"""The `command` of a recurring task: a dotted call with literal arguments.

    app.tasks.cleanup(batch=500)

It is parsed and never evaluated: the result is a name to import, and values that are valid as a
job's arguments. Solid Queue's own clean-up is understood in its Ruby spelling, including named
arguments, and runs ours.
"""

import ast
import io
import math
import re
import tokenize
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

from jobsd import errors
from jobsd.text import is_storable

LONGEST = 2048

_TARGET = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)+")
_CLEARING = "clear_finished_in_batches"
_RUBY = re.compile(rf"(?:::)?SolidQueue::Job\.({_CLEARING})\s*(\(.*\))?", re.DOTALL)
_RUBY_WORDS = {"nil": "None", "true": "True", "false": "False"}
_EXAMPLE = "write a dotted call with literal arguments, such as app.tasks.cleanup(batch=500)"


class CommandError(errors.Error):
    """A command can't be parsed; `message` is the reason, `hint` a suggestion."""

    def __init__(self, message: str, hint: str = _EXAMPLE) -> None:
        self.message = message
        self.hint = hint
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class Command:
    """A call: the dotted name of a function, and its arguments."""

    target: str
    args: tuple[object, ...]
    kwargs: dict[str, object]


def parse_command(text: str) -> Command:
    """Parse a call; a name alone is a call without arguments.

    Raises:
        CommandError: if `text` is anything other than a call.
    """
    if len(text) > LONGEST:
        raise CommandError(f"it is longer than {LONGEST} characters")
    if ruby := _RUBY.fullmatch(text.strip()):
        return _call(f"jobsd.{ruby[1]}{_pythonic(ruby[2] or '()')}")
    return _call(text.strip())


def clears_history(command: str | None) -> bool:
    """Return whether a command clears finished jobs; False if it can't be parsed."""
    try:
        target = parse_command(command or "").target
    except CommandError:
        return False
    return target.rpartition(".")[2] == _CLEARING


def _call(text: str) -> Command:
    node = _expression(text)
    if not isinstance(node, ast.Call):
        return Command(_target(node, text), (), {})
    target = _target(node.func, text)
    if any(isinstance(arg, ast.Starred) for arg in node.args):
        raise CommandError("a star can't unpack arguments here")
    kwargs: dict[str, object] = {}
    for keyword in node.keywords:
        if keyword.arg is None:
            raise CommandError("two stars can't unpack arguments here")
        if keyword.arg in kwargs:
            raise CommandError(f"the argument {keyword.arg} is given twice")
        kwargs[keyword.arg] = _value(keyword.value)
    return Command(target, tuple(map(_value, node.args)), kwargs)


def _expression(text: str) -> ast.expr:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        raise CommandError("it is not a function call") from None


def _target(node: ast.expr, text: str) -> str:
    """Return the name that is called, as written: no part of it may be computed."""
    name = ast.get_source_segment(text, node) or ""
    if _TARGET.fullmatch(name):
        return name
    if name.isidentifier():
        raise CommandError(f"{name} names no module", _EXAMPLE)
    raise CommandError("the function must be a dotted name")


def _value(node: ast.expr) -> object:
    try:
        value = ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        raise CommandError("an argument must be a literal; nothing is evaluated") from None
    _require_storable(value)
    return value


def _require_storable(value: object) -> None:
    """Refuse the literals of Python that no job's arguments can hold."""
    match value:
        case None | bool() | int() | bytes():
            return
        case float() if math.isfinite(value):
            return
        case str() if is_storable(value):
            return
        case list() | tuple() | set():
            for item in cast("Iterable[object]", value):
                _require_storable(item)
        case dict():
            for key, item in cast("dict[object, object]", value).items():
                if not isinstance(key, str):
                    raise CommandError("the keys of a dict must be texts")
                _require_storable(key)
                _require_storable(item)
        case _:
            raise CommandError("an argument has a type that jobs can't take")


def _pythonic(arguments: str) -> str:
    """Return Ruby's `(name: nil)` as Python's `(name=None)`; strings are left unchanged."""
    written: list[tuple[int, str]] = []
    try:
        for token in tokenize.generate_tokens(io.StringIO(arguments).readline):
            if token.string == ":" and written and written[-1][0] == tokenize.NAME:
                written.append((tokenize.OP, "="))
            else:
                written.append((token.type, _RUBY_WORDS.get(token.string, token.string)))
        return tokenize.untokenize(written)
    except (tokenize.TokenError, SyntaxError):
        raise CommandError("its arguments can't be read") from None
