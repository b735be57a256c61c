"""The base of all commands: their form, their help, their common options."""

from __future__ import annotations

import copy
import functools
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

import click

from jobsd import errors
from jobsd.daemon import interrupts, statuses
from jobsd.daemon.program import require_command

from . import output
from .help import OUTPUT, PROJECT, Helpful, Shared
from .parameters import listed
from .project import Project as Project  # noqa: PLC0414 - for all verbs
from .table import Column

P = ParamSpec("P")
R = TypeVar("R")

_FORMS = ("json",)
_TABLE_FORMS = ("json", "tsv", "name")
_TABLE_FORMS_HELP = (
    "json: as --json; tsv: column names and rows, with tabs; name: only the id or name."
)


class Verb(Helpful):
    """A command. Its result is printed according to the options of output.

    A command without output has none of these options; only one that prints a `table` with
    columns has those of tables, and of these only a table of `ids` has --ids. Its exit status
    is `without_database` where there is no database at all.
    """

    def __init__(  # noqa: PLR0913 - what commands may have
        self,
        *args: Any,  # noqa: ANN401 - click's
        examples: str = "",
        describes: str = "",
        prints: bool = True,
        table: Sequence[Column] = (),
        ids: bool = False,
        without_database: int = statuses.CONFIGURATION,
        **kwargs: Any,  # noqa: ANN401 - click's
    ) -> None:
        super().__init__(*args, **kwargs)
        self.examples = examples
        self.describes = describes
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


def also(command: click.Command, was: str, words: str) -> click.Command:
    """Return a command that is called by other words, too."""
    other = copy.copy(command)
    other.name = words.rsplit(maxsplit=1)[-1]
    if isinstance(other, Helpful):
        other.examples = other.examples.replace(was, words)
    return other


def flag_of(flag: str, does: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Describe a flag that stands for another command: see `command_list.BY_FLAG`."""
    return click.option(flag, is_flag=True, expose_value=False, help=does)


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


def output_options(*, table: Sequence[Column], ids: bool) -> list[click.Parameter]:
    """Return the options for the output of a result; of a `table` also its columns."""
    option = functools.partial(Shared, section=OUTPUT)
    flag = functools.partial(option, is_flag=True)
    options: list[click.Parameter] = [
        flag(["--json", "as_json"], help="Print one JSON document."),
        option(
            ["-o", "--output", "form"],
            type=click.Choice(_TABLE_FORMS if table else _FORMS),
            help=_TABLE_FORMS_HELP if table else "json: as --json.",
        ),
        option(
            ["--color"],
            type=click.Choice(("auto", "always", "never")),
            default="auto",
            help="auto: decide by NO_COLOR, CLICOLOR_FORCE and the terminal.",
        ),
    ]
    if table:
        options += [
            option(
                ["--columns"],
                metavar="NAME[,NAME]",
                shell_complete=listed(column.name for column in table),
                help="Print only these, in this order.",
            ),
            flag(["--header"], help="Print the column names, in a pipe too."),
            flag(["--wide"], help="Do not shorten values to fit the terminal."),
        ]
    if ids:
        options.append(flag(["--ids"], help="Print only the ids."))
    return options


_WHOLE_SENTENCE = 1000
"""Longer than any: click would cut it at the width of the terminal."""


class Noun(Helpful, click.Group):
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

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Describe each command: its first sentence, up to a semicolon."""
        del ctx
        alone = f" (alone: {self._default})" if self._default else ""
        with formatter.section(f"Commands{alone}"):
            formatter.write_dl(self._rows())

    def _rows(self) -> list[tuple[str, str]]:
        """Return the commands that are shown, each with its summary."""
        return [
            (name, each.get_short_help_str(_WHOLE_SENTENCE).partition(";")[0].rstrip("."))
            for name, each in sorted(self.commands.items())
            if not each.hidden
        ]

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or suggest the nearest one."""
        require_command(ctx, args[0], self.commands)
        return super().resolve_command(ctx, args)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put the default command before options without a command."""
        if not args and not self._default and not ctx.resilient_parsing:
            known = ", ".join(name for name, _ in self._rows())
            raise click.UsageError(f"the command is missing; choose one of {known}", ctx)
        first = args[0] if args else "" if ctx.resilient_parsing else "--"
        if self._default and first.startswith("-") and first not in ctx.help_option_names:
            args = [self._default, *args]
        return super().parse_args(ctx, args)


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
        cls=Shared,
        section=PROJECT,
        metavar="URL",
        help="The database. Env: QUEUE_DATABASE_URL, DATABASE_URL.",
    )
    file = click.option(
        *("-c", "--config"),
        cls=Shared,
        section=PROJECT,
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
