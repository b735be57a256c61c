"""The kinds of words that commands take: each is parsed, or refused with a sentence."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import click

from jobsd import errors, jobs

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from jobsd.acts.periods import Period

R = TypeVar("R")


if TYPE_CHECKING:

    class _Type(click.ParamType[R]): ...
else:  # of click before 8.5 it is no generic class

    class _Type(click.ParamType, Generic[R]): ...


_FACTORS = {"k": 1_000, "m": 1_000_000, "g": 1_000_000_000}
_Offer = Callable[[click.Context, click.Parameter | None, str], "list[CompletionItem]"]


def offered(kind: str) -> _Offer:
    """Return what a shell calls for the names of a kind."""

    def offer(
        ctx: click.Context, param: click.Parameter | None, incomplete: str
    ) -> list[CompletionItem]:
        del ctx, param
        from .completion import names

        return names(kind, incomplete)

    return offer


def listed(names: Iterable[str]) -> _Offer:
    """Return what a shell calls for the last of several names with commas between them."""
    known = tuple(names)

    def offer(
        ctx: click.Context, param: click.Parameter | None, incomplete: str
    ) -> list[CompletionItem]:
        del ctx, param
        from .completion import items

        before, comma, begun = incomplete.rpartition(",")
        return [
            type(each)(f"{before}{comma}{each.value}", help=each.help)
            for each in items(known, begun)
        ]

    return offer


class _Read(_Type[R]):
    """A type of parameter: a function parses the text, or refuses it with a sentence."""

    def __init__(self, name: str, read: Callable[[str], R], kind: str = "") -> None:
        self.name = name
        self._read = read
        self._kind = kind

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Return the names with this beginning: of a class to retry, those that failed."""
        del param
        kind = "failed" if self._kind == "class" and ctx.info_name == "retry" else self._kind
        return offered(kind)(ctx, None, incomplete) if kind else []

    def convert(
        self,
        value: Any,  # noqa: ANN401 - click's
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> R:
        """Return the parsed value."""
        try:
            return self._read(value)
        except (ValueError, errors.Error) as fault:
            self.fail(str(fault), param, ctx)


def _duration(value: str) -> float:
    from jobsd.clock import parse_duration

    return parse_duration(value)


def _period(value: str) -> Period:
    from jobsd.operations.times import read_period

    return read_period(value)


def _queue(value: str) -> str:
    return jobs.registry.check_queue(value)


def _class(value: str) -> str:
    return jobs.registry.check_class(value)


def _line(value: str) -> str:
    if not value.isprintable():
        raise ValueError(f"{value!r} is not one line of printable text")
    return value


def _count(value: str | int) -> int:
    digits = str(value).replace(",", "").replace("_", "").lower()
    factor = _FACTORS.get(digits[-1:], 1)
    with contextlib.suppress(ValueError, OverflowError):
        if (number := round(float(digits[:-1] if factor > 1 else digits) * factor)) > 0:
            return number
    raise ValueError(f"{value} is not a number of jobs; write 1200, 500k or 20M")


def whole(least: int, most: int | None = None) -> _Read[int]:
    """Return the kind of whole numbers in this range."""
    bounds = f"of at least {least:,}" if most is None else f"from {least:,} to {most:,}"

    def read(value: str | int) -> int:
        with contextlib.suppress(ValueError):
            if least <= (number := int(value)) and (most is None or number <= most):
                return number
        raise ValueError(f"{value} is not a whole number {bounds}")

    return _Read("n", read)


DURATION = _Read("duration", _duration)
"""Seconds, or words such as 30s, 10m, 2h, 1d."""
COUNT = _Read("n", _count)
"""A number of at least 1, also as 500k or 20M."""
PERIOD = _Read("time", _period)
"""A time since when, or a range: see `operations.times`."""
QUEUE = _Read("queue", _queue, "queue")
CLASS = _Read("class", _class, "class")
TASK = _Read("text", str, "task")
"""The key of a recurring task."""
LINE = _Read("text", _line)
"""A text of one line."""


class _JobId(click.IntRange):
    """The id of a job; a shell offers those of the latest."""

    name = "id"

    def _describe_range(self) -> str:
        """Return nothing for the help: each id is in the range."""
        return ""

    def convert(
        self,
        value: Any,  # noqa: ANN401 - click's
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> Any:  # noqa: ANN401 - click's
        """Return the number."""
        if not str(value).strip().lstrip("+-").isdecimal():
            self.fail(f"{value!r} is not a job id (a whole number)", param, ctx)
        return super().convert(value, param, ctx)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Return the ids with this beginning."""
        return offered("id")(ctx, param, incomplete)


JOB_ID = _JobId(1, 2**63 - 1)

args_json = click.argument("arguments", metavar="[ARGS-JSON]", default="[]")
