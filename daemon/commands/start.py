"""`start` and `with`: run the daemon, alone or beside a web server."""

import os
from collections.abc import Callable, Sequence

import click

from jobsd import configuration
from jobsd.configuration.setting import Setting
from jobsd.daemon.cli.parameters import listed, offered
from jobsd.daemon.cli.verbs import WORDS, Project, WithWords

_START_EXAMPLES = """
start
start --queues urgent,mail_* --only worker
start --import app.jobs --metrics-bind off
start --reload
start --paused
start -c config/other.yml --log-format json
"""


_OFFERED = {
    "--queues": offered("queue"),
    "--only": listed(("worker", "dispatcher", "scheduler")),
    "--log-format": listed(("json", "console")),
    "--log-level": listed(("debug", "info", "warning", "error", "critical")),
}


def _setting_flags(function: Callable[..., int]) -> Callable[..., int]:
    """Give a command a flag for each setting that has one."""
    for row in reversed([row for row in configuration.flags.ROWS if row.flag]):
        is_switch = row.kind is configuration.kinds.switch
        *options, metavar = row.flag.split() if not is_switch else (row.flag, None)
        option = click.option(
            *(word.strip(",") for word in options if word),
            row.flag_name,
            metavar=metavar,
            is_flag=is_switch,
            default=None,
            multiple=row.adds,
            shell_complete=_OFFERED.get(row.flag_option),
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


@click.command(cls=WithWords, prints=False, examples=_START_EXAMPLES)
@_setting_flags
@click.option("--reload", is_flag=True, help="Reload when a file of the project changes.")
@click.option(
    "--paused",
    is_flag=True,
    help="Pause everything in the database first, on all hosts, until `queues resume --all`.",
)
@click.pass_context
def start_command(
    context: click.Context,
    /,
    env: str | None,
    *,
    reload: bool,
    paused: bool,
    **given: str | bool | tuple[str, ...] | None,
) -> int:
    """Run the daemon in the foreground: supervisor, dispatchers, workers, scheduler.

    A flag takes precedence over its variable, and a variable over the file. On HUP the daemon
    reads the files again and replaces the workers one by one; on TERM and INT it stops
    gracefully, on QUIT at once.
    """
    from jobsd.daemon.tree.launch import launch

    if reload and paused:
        raise click.UsageError("--paused can't be combined with --reload", context)
    if env is not None:
        # The whole tree, jobs included, and each reload find it there.
        os.environ["JOBSD_ENV"] = env
    project = Project(**given)
    if reload:
        from jobsd.daemon.web_companion.beside import run_beside

        words = [word for word in context.meta[WORDS] if word != "--reload"]
        return run_beside(words, (), project.root, project.flags, reload=True)
    read = project.read_options
    return launch(read(), os.environ, read, paused=paused)


_WITH_EXAMPLES = """
with -- gunicorn app:app
with --queues default --metrics-bind off -- uvicorn app:app
with --reload -- flask run
"""


class _WithCommand(WithWords):
    """Takes everything behind `--` for the command."""

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        """Return the command's part of the usage line."""
        del ctx
        return ["[OPTIONS OF start]", "--", "COMMAND..."]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Set the command aside."""
        at = args.index("--") if "--" in args else len(args)
        ctx.meta[_COMMAND] = args[at + 1 :]
        return super().parse_args(ctx, args[:at])


_COMMAND = "jobsd.with"


@click.command(cls=_WithCommand, prints=False, examples=_WITH_EXAMPLES)
@_setting_flags
@click.option("--reload", is_flag=True, help="Reload when a file of the project changes.")
@click.pass_context
def with_command(
    context: click.Context,
    /,
    env: str | None,
    *,
    reload: bool,
    **given: str | bool | tuple[str, ...] | None,
) -> int:
    """Run COMMAND (a web server) with the daemon beside it; when one ends, end the other.

    Only a daemon that has crashed is started again. Otherwise, whichever ends first, the other
    one is stopped gracefully, and the exit status is that of the first. TERM, INT and QUIT are
    passed to both; so is HUP, to the web server only if it handles it. USR1, USR2, TTIN and
    TTOU are passed to the daemon.
    """
    import shutil

    from jobsd.daemon.web_companion.beside import run_beside

    words: Sequence[str] = context.meta[_COMMAND]
    if not words:
        raise click.UsageError("the command is missing: with -- gunicorn app:app", context)
    if shutil.which(words[0]) is None:
        raise click.UsageError(f"there is no program {words[0]!r}", context)
    if env is not None:
        os.environ["JOBSD_ENV"] = env
    project = Project(**given)
    ours = [word for word in context.meta[WORDS] if word != "--reload"]
    return run_beside(ours, words, project.root, project.flags, reload=reload)
