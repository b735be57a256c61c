"""`start`: run the daemon."""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import click

from jobsd.configuration.setting import Setting
from jobsd.daemon.verbs import WORDS, WithWords

_EXAMPLES = """
start
start --queues urgent,mail_* --only worker
start --import app.jobs --metrics-bind off
start --reload
start -c config/other.yml --log-format json
"""


def setting_flags(function: Callable[..., int]) -> Callable[..., int]:
    """Give a command a flag for each setting that has one."""
    from jobsd.configuration.flags import ROWS
    from jobsd.configuration.kinds import switch

    for row in reversed([row for row in ROWS if row.flag]):
        is_switch = row.kind is switch
        *options, metavar = row.flag.split() if not is_switch else (row.flag, None)
        option = click.option(
            *(word.strip(",") for word in options if word),
            row.flag_name,
            metavar=metavar,
            is_flag=is_switch,
            default=None,
            multiple=row.adds,
            help=_help(row),
        )
        function = option(function)
    return function


def _help(row: Setting[object]) -> str:
    default = "" if row.default in {"null", "false"} else row.default
    variables = ", ".join(filter(None, (row.variable, row.fallback)))
    if not variables:
        return row.sentence
    return f"{row.sentence} Env: {variables}.{f' Default: {default}.' if default else ''}"


@click.command(cls=WithWords, prints=False, examples=_EXAMPLES)
@setting_flags
@click.option("--reload", is_flag=True, help="Reload when a file of the project changes.")
@click.pass_context
def command(
    context: click.Context,
    /,
    env: str | None,
    *,
    reload: bool,
    **given: str | bool | tuple[str, ...] | None,
) -> int:
    """Run the daemon in the foreground: supervisor, dispatchers, workers, scheduler.

    A flag takes precedence over its variable, and a variable over the file. On HUP the daemon
    reads the files again and replaces the workers one by one; on TERM and INT it stops
    gracefully, on QUIT at once.
    """
    from jobsd.configuration.flags import Flags
    from jobsd.configuration.folder import project_root
    from jobsd.configuration.load import load
    from jobsd.daemon.launch import launch

    if env is not None:
        # The whole tree, jobs included, and each reload find it there.
        os.environ["JOBSD_ENV"] = env
    flags, root = Flags(**given), project_root(Path.cwd(), os.environ)
    if reload:
        from jobsd.daemon.beside import run_beside

        words = [word for word in context.meta[WORDS] if word != "--reload"]
        return run_beside(words, (), root, flags, reload=True)
    read = partial(load, root, os.environ, flags)
    return launch(read(), os.environ, read)
