"""The help of a command: how to call it, examples, what it does, and its own options.

`help options` describes the options that several commands share. The help of a command only
names them, at its end.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import click

from jobsd.daemon.program import program

FILTERS = "Filters of jobs"
PROJECT = "Project and database"
OUTPUT = "Output"
SECTIONS = (FILTERS, PROJECT, OUTPUT)
"""What `help options` describes, in this order."""


class Shared(click.Option):
    """An option of several commands, which `help options` describes in a section."""

    def __init__(
        self,
        *args: Any,  # noqa: ANN401 - click's
        section: str,
        **kwargs: Any,  # noqa: ANN401 - click's
    ) -> None:
        super().__init__(*args, **kwargs)
        self.section = section


class Helpful(click.Command):
    """A command whose help begins with examples that can be typed.

    It describes its own options and the shared ones of the section `describes`.
    """

    examples = ""
    describes = ""

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write how it is called, and the examples."""
        super().format_usage(ctx, formatter)
        if self.examples:
            with formatter.section("Examples"):
                for line in self.examples.strip().splitlines():
                    formatter.write(f"  {program()} {line.strip()}\n")

    def own_options(self) -> list[click.Option]:
        """Return the options that the help describes."""
        options = [each for each in self.params if isinstance(each, click.Option)]
        return [
            each
            for each in options
            if not isinstance(each, Shared) or each.section == self.describes
        ]

    def shared_options(self) -> list[Shared]:
        """Return the options that the help only names."""
        options = [each for each in self.params if isinstance(each, Shared)]
        options.sort(key=lambda each: SECTIONS.index(each.section))
        return [each for each in options if each.section != self.describes]

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Describe the options of its own."""
        write_options("Options", self.own_options(), ctx, formatter)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Name the shared options."""
        del ctx
        names = [each.opts[0] for each in self.shared_options()]
        if names:
            formatter.write_paragraph()
            formatter.write_text(
                f"Shared options (`{program()} help options`): {' '.join(names)}"
            )


def write_options(
    title: str,
    options: Iterable[click.Option],
    ctx: click.Context,
    formatter: click.HelpFormatter,
) -> None:
    """Describe options under a title; none, if all of them are hidden."""
    records = [each.get_help_record(ctx) for each in options]
    if shown := [record for record in records if record is not None]:
        with formatter.section(title):
            formatter.write_dl(shown)
