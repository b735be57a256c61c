"""Makes docs/reference/commands.md of the commands' own help.

    .venv/bin/python tests/docs/commands_page.py

Run it when a command, an option or an example changes.
"""

from __future__ import annotations

import inspect
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import click

from jobsd.daemon.cli.cli import commands
from jobsd.daemon.cli.help import Helpful
from jobsd.daemon.cli.topics import shared_options

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

PAGE = Path(__file__).parents[2] / "docs/reference/commands.md"
PROGRAM = "bin/jobs"

HEAD = """\
<!-- Made by tests/docs/commands_page.py of the commands' own help. -->

# Commands

Every command is `bin/jobs COMMAND` in a project, and `jobsd COMMAND` where jobsd is installed.
`-h` prints the help of a command; [options that commands share](#shared-options) are described
once. [Start, reload, restart and stop](../guide/processes.md) explains the
exit statuses and the forms of output.

"""


def page() -> str:
    """Return the page: an index, and a section for each command."""
    root = click.Context(commands, info_name=PROGRAM, **commands.context_settings)
    found = list(leaves(commands, root))
    index = "".join(
        f"| [`{context.command_path}`](#{_anchor(context)}) | {_first_line(context)} |\n"
        for context in found
    )
    sections = "\n".join(_section(context) for context in found)
    return f"{HEAD}| command | |\n|---|---|\n{index}\n{_shared(root)}\n{sections}"


def leaves(group: click.Group, context: click.Context) -> Iterator[click.Context]:
    """Give a context for each command, those of a group behind the group itself."""
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        inner = click.Context(command, info_name=name, parent=context)
        yield inner
        if isinstance(command, click.Group):
            yield from leaves(command, inner)


def _anchor(context: click.Context) -> str:
    return context.command_path.replace("/", "").replace(" ", "-")


def _help(context: click.Context) -> str:
    return inspect.cleandoc((context.command.help or "").replace("\b\n", ""))


def _first_line(context: click.Context) -> str:
    return _help(context).partition("\n\n")[0].replace("\n", " ")


def _section(context: click.Context) -> str:
    command = context.command
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    return f"## {context.command_path}\n\n    {usage}\n\n{_help(context)}\n" + "".join(
        f"\n{part}\n" for part in (_options(context), _examples(context)) if part
    )


def _options(context: click.Context) -> str:
    """Return a table of the options that the help describes, and name the shared ones."""
    command = context.command
    if not isinstance(command, Helpful):
        return ""
    names = ", ".join(f"`{each.opts[0]}`" for each in command.shared_options())
    parts = [_table(command.own_options(), context), names and f"{SHARED}: {names}"]
    return "\n\n".join(filter(None, parts))


SHARED = "[Shared options](#shared-options)"


def _shared(context: click.Context) -> str:
    chapters = [
        f"{title}:\n\n{_table(options, context)}\n"
        for title, options in groupby(shared_options(), lambda each: each.section)
    ]
    return "\n".join(["## Shared options\n", *chapters])


def _table(options: Iterable[click.Option], context: click.Context) -> str:
    records = filter(None, (each.get_help_record(context) for each in options))
    rows = "\n".join(f"| `{_cell(names)}` | {_cell(does)} |" for names, does in records)
    return rows and f"| option | |\n|---|---|\n{rows}"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _examples(context: click.Context) -> str:
    lines = str(getattr(context.command, "examples", "")).strip().splitlines()
    shown = "".join(f"\n    {PROGRAM} {line.strip()}" for line in lines)
    return f"Examples:\n{shown}" if shown else ""


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
