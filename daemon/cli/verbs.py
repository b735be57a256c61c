"""The base of all commands: their form, their help, their common options."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, TypeVar, cast

import click

from jobsd import errors, jobs
from jobsd.daemon import interrupts, statuses
from jobsd.daemon.program import program, require_command

from . import output
from .project import Project as Project  # noqa: PLC0414 - for all verbs

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from jobsd.acts.periods import Period

P = ParamSpec("P")
R = TypeVar("R")
F = TypeVar("F", bound="Callable[..., Any]")


_TABLE_OPTIONS: tuple[tuple[tuple[str, ...], dict[str, Any]], ...] = (
    (("--columns",), {"metavar": "NAME[,NAME]", "help": "Print only these, in this order."}),
    (("--header",), {"is_flag": True, "help": "Print the column names, in a pipe too."}),
    (("--wide",), {"is_flag": True, "help": "Do not shorten values to fit the terminal."}),
)
_FORMS = ("json",)
_TABLE_FORMS = ("json", "tsv", "name")
_TABLE_FORMS_HELP = (
    "json: as --json; tsv: column names and rows, with tabs; name: only the id or name."
)


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
    """A command. Its result is printed according to the options of output.

    A command without output has none of these options; only one that prints a `table` has those
    of tables, and of these only a table of `ids` has --ids. Its exit status is
    `without_database` where there is no database at all.
    """

    def __init__(
        self,
        *args: Any,  # noqa: ANN401 - click's
        examples: str = "",
        prints: bool = True,
        table: bool = False,
        ids: bool = False,
        without_database: int = statuses.CONFIGURATION,
        **kwargs: Any,  # noqa: ANN401 - click's
    ) -> None:
        super().__init__(*args, **kwargs)
        self.examples = examples
        self._without_database = without_database
        self._output = output_options(table=table, ids=ids) if prints else []
        self.params += self._output

    def invoke(self, ctx: click.Context) -> object:
        """Run the command and print its result, or one after the other if it yields them."""
        interrupts.are_exceptions()
        if not self._output:
            return super().invoke(ctx)
        given = {each.name: ctx.params.pop(each.name) for each in self._output if each.name}
        form = output.format_of(**given)
        ctx.meta[_FORMAT] = form
        try:
            found = super().invoke(ctx)
        except errors.NoDatabaseError as fault:
            return self._report(fault)
        if isinstance(found, output.Result):
            return output.print_result(found, form)
        if isinstance(found, Iterator):
            results = cast("Iterator[output.Result]", found)
            return max((output.print_result(each, form) for each in results), default=0)
        return found

    def _report(self, fault: errors.NoDatabaseError) -> int:
        from jobsd.daemon.tree.exits import report

        report(fault)
        return self._without_database

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, with those of output at the end."""
        for title, wanted in (("Options", False), ("Output", True)):
            records = [
                each.get_help_record(ctx)
                for each in self.get_params(ctx)
                if isinstance(each, click.Option) and (each in self._output) is wanted
            ]
            if shown := [record for record in records if record is not None]:
                with formatter.section(title):
                    formatter.write_dl(shown)


WORDS = "jobsd.words"


class WithWords(Verb):
    """A command that starts itself again: it keeps the words of its call."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Keep the words in the context's `meta`."""
        ctx.meta[WORDS] = list(args)
        return super().parse_args(ctx, args)


_FORMAT = "jobsd.format"


def chosen_format() -> output.Format:
    """Return the format for the result of the running command."""
    form: output.Format = click.get_current_context().meta[_FORMAT]
    return form


def output_options(*, table: bool, ids: bool) -> list[click.Parameter]:
    """Return the options for the output of a result; of a `table` also its columns."""
    options: list[click.Parameter] = [
        click.Option(["--json", "as_json"], is_flag=True, help="Print one JSON document."),
        click.Option(
            ["-o", "--output", "form"],
            type=click.Choice(_TABLE_FORMS if table else _FORMS),
            help=_TABLE_FORMS_HELP if table else "json: as --json.",
        ),
        click.Option(
            ["--color"],
            type=click.Choice(("auto", "always", "never")),
            default="auto",
            help="auto: decide by NO_COLOR, CLICOLOR_FORCE and the terminal.",
        ),
    ]
    if table:
        options += [click.Option(list(names), **settings) for names, settings in _TABLE_OPTIONS]
    if ids:
        options.append(click.Option(["--ids"], is_flag=True, help="Print only the ids."))
    return options


_WHOLE_SENTENCE = 1000
"""Longer than any: click would cut it at the width of the terminal."""


class Noun(_WithExamples, click.Group):
    """A group of commands about one subject; alone it is the command of the name `default`."""

    def __init__(
        self,
        *args: Any,  # noqa: ANN401 - click's
        examples: str = "",
        default: str = "",
        **kwargs: Any,  # noqa: ANN401 - click's
    ) -> None:
        super().__init__(*args, **kwargs)
        self.examples = examples
        self._default = default

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write a description of each command: its whole sentence."""
        del ctx
        rows = [
            (name, each.get_short_help_str(_WHOLE_SENTENCE))
            for name, each in sorted(self.commands.items())
        ]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or suggest the nearest one."""
        require_command(ctx, args[0], self.commands)
        return super().resolve_command(ctx, args)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put the default command before options without a command."""
        if not args and not self._default and not ctx.resilient_parsing:
            known = ", ".join(sorted(self.commands))
            raise click.UsageError(f"the command is missing; choose one of {known}", ctx)
        first = args[0] if args else "" if ctx.resilient_parsing else "--"
        if self._default and first.startswith("-") and first not in ctx.help_option_names:
            args = [self._default, *args]
        return super().parse_args(ctx, args)


if TYPE_CHECKING:

    class _Type(click.ParamType[R]): ...
else:  # of click before 8.5 it is no generic class

    class _Type(click.ParamType, Generic[R]): ...


class _Read(_Type[R]):
    """A type of parameter: a function parses the text, or refuses it with a sentence."""

    def __init__(self, name: str, read: Callable[[str], R], kind: str = "") -> None:
        self.name = name
        self._read = read
        self._kind = kind

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Return the names of the database with this beginning."""
        del ctx, param
        from .completion import names

        return names(self._kind, incomplete) if self._kind else []

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


DURATION = _Read("duration", _duration)
"""Seconds, or words such as 30s, 10m, 2h, 1d."""
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
        del ctx, param
        from .completion import names

        return names("id", incomplete)


JOB_ID = _JobId(1, 2**63 - 1)

args_json = click.argument("arguments", metavar="[ARGS-JSON]", default="[]")


def on_project(
    function: Callable[Concatenate[Project, P], R],
) -> Callable[..., R]:
    """Give a command its project, and the options that locate it."""

    @functools.wraps(function)
    def run(
        *args: Any,  # noqa: ANN401 - click's
        database_url: str | None,
        config: str | None,
        **kwargs: Any,  # noqa: ANN401
    ) -> R:
        project = Project(config=config, database_url=database_url)
        return function(project, *args, **kwargs)

    url = click.option(
        *("--database-url",),
        metavar="URL",
        help="The database. Env: QUEUE_DATABASE_URL, DATABASE_URL.",
    )
    file = click.option(
        *("-c", "--config"),
        metavar="FILE",
        help="The configuration file. Env: JOBSD_CONFIG. Default: config/queue.yml.",
    )
    return url(file(run))


def require_consent(what: str, *, yes: bool) -> None:
    """Go on with `--yes`, or after consent at the terminal.

    Raises:
        RefusedError: without consent, or without a terminal.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise errors.RefusedError(f"refusing to {what} without --yes")
    if not click.confirm(f"{what}?", err=True):
        raise errors.RefusedError("cancelled")
