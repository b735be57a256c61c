"""What the commands have in common: their shape, their help, the options of many of them."""

from __future__ import annotations

import functools
import sys
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, TypeVar

import click

from jobsd.errors import Error

from .program import program

if TYPE_CHECKING:
    from collections.abc import Callable

    from .project import Project

P = ParamSpec("P")
R = TypeVar("R")
F = TypeVar("F", bound="Callable[..., Any]")


class _WithExamples(click.Command):
    """A command whose help ends with examples that can be typed."""

    examples = ""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples."""
        del ctx
        if self.examples:
            with formatter.section("Examples"):
                for line in self.examples.strip().splitlines():
                    formatter.write(f"  {program()} {line.strip()}\n")


class Verb(_WithExamples):
    """A command."""

    def __init__(self, *args: Any, examples: str = "", **kwargs: Any) -> None:  # noqa: ANN401
        super().__init__(*args, **kwargs)
        self.examples = examples


class Noun(_WithExamples, click.Group):
    """A group of commands about one thing; alone it is the command of the name `default`."""

    def __init__(
        self,
        *args: Any,  # noqa: ANN401
        examples: str = "",
        default: str = "",
        **kwargs: Any,  # noqa: ANN401
    ) -> None:
        super().__init__(*args, **kwargs)
        self.examples = examples
        self._default = default

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put the default command before the options of whoever does not say it."""
        first = args[0] if args else "--"
        if self._default and first.startswith("-") and first not in ctx.help_option_names:
            args = [self._default, *args]
        return super().parse_args(ctx, args)


if TYPE_CHECKING:

    class _Type(click.ParamType[R]): ...
else:  # of click before 8.5 it is no generic class

    class _Type(click.ParamType, Generic[R]): ...


class _Read(_Type[R]):
    """What a function reads from the text, or refuses with a sentence."""

    def __init__(self, name: str, read: Callable[[str], R]) -> None:
        self.name = name
        self._read = read

    def convert(
        self,
        value: Any,  # noqa: ANN401 - click's
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> R:
        """Return what is meant."""
        try:
            return self._read(value)
        except (ValueError, Error) as fault:
            self.fail(str(fault), param, ctx)


def _duration(value: str) -> float:
    from jobsd.clock import parse_duration  # noqa: PLC0415 - help needs it not

    return parse_duration(value)


def _queue(value: str) -> str:
    from jobsd.jobs.registry import check_queue  # noqa: PLC0415 - help needs it not

    return check_queue(value)


def _class(value: str) -> str:
    from jobsd.jobs.registry import check_class  # noqa: PLC0415 - help needs it not

    return check_class(value)


def _line(value: str) -> str:
    if not value.isprintable():
        raise ValueError(f"{value!r} is no line of printable text")
    return value


DURATION = _Read("duration", _duration)
"""Seconds, or words such as 30s, 10m, 2h, 1d."""
QUEUE = _Read("queue", _queue)
CLASS = _Read("class", _class)
LINE = _Read("text", _line)
"""A text that is shown beside others."""
JOB_ID = click.IntRange(1, 2**63 - 1)

as_json = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")

args_json = click.argument("arguments", metavar="[ARGS-JSON]", default="[]")


def on_project(
    function: Callable[Concatenate[Project, P], R],
) -> Callable[..., R]:
    """Give a command the project it works on, and the options that say where that is."""

    @functools.wraps(function)
    def run(
        *args: Any,  # noqa: ANN401 - click's
        database_url: str | None,
        config: str | None,
        **kwargs: Any,  # noqa: ANN401
    ) -> R:
        from jobsd.configuration.flags import Flags  # noqa: PLC0415 - help needs no driver

        from .project import Project  # noqa: PLC0415 - as above

        project = Project(Flags(config=config, database_url=database_url))
        return function(project, *args, **kwargs)

    url = click.option("--database-url", metavar="URL", help="Env: QUEUE_DATABASE_URL, …")
    file = click.option("-c", "--config", metavar="FILE", help="Env: JOBSD_CONFIG.")
    return url(file(run))


def require_consent(what: str, *, yes: bool) -> None:
    """Go on if the operator has said `--yes`, or says so now.

    Raises:
        RefusedError: when he does not, or nobody can be asked.
    """
    from jobsd.errors import RefusedError  # noqa: PLC0415 - help needs it not

    if yes:
        return
    if not sys.stdin.isatty():
        raise RefusedError(f"to {what}, say --yes")
    if not click.confirm(f"{what}?", err=True):
        raise RefusedError("nothing was done")
