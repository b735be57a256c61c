"""`with`: run the daemon beside a web server."""

import os
from collections.abc import Sequence
from pathlib import Path

import click

from jobsd.daemon.verbs import WORDS, WithWords

from .start import setting_flags

_EXAMPLES = """
with -- gunicorn app:app
with --queues default --metrics-bind off -- uvicorn app:app --port 8000
with --reload -- flask run
"""


class _WithCommand(WithWords):
    """Takes everything behind `--` for the command."""

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        """Return what stands behind the name in the usage line."""
        del ctx
        return ["[OPTIONS OF start]", "--", "COMMAND..."]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Set the command aside."""
        at = args.index("--") if "--" in args else len(args)
        ctx.meta[_COMMAND] = args[at + 1 :]
        return super().parse_args(ctx, args[:at])


_COMMAND = "jobsd.with"


@click.command(cls=_WithCommand, prints=False, examples=_EXAMPLES)
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
    """Run COMMAND (a web server) with the daemon beside it; when one ends, end the other.

    Only a daemon that has crashed is started again. Else, whichever ends first, the other one
    is stopped gracefully, and the exit status is that of the first. TERM, INT and QUIT are
    passed to both; so is HUP, to the web server only if it handles it. USR1, USR2, TTIN and
    TTOU are passed to the daemon.
    """
    import shutil

    from jobsd.configuration.flags import Flags
    from jobsd.configuration.folder import project_root
    from jobsd.daemon.beside import run_beside

    words: Sequence[str] = context.meta[_COMMAND]
    if not words:
        raise click.UsageError("the command is missing: with -- gunicorn app:app", context)
    if shutil.which(words[0]) is None:
        raise click.UsageError(f"there is no program {words[0]!r}", context)
    if env is not None:
        os.environ["JOBSD_ENV"] = env
    root = project_root(Path.cwd(), os.environ)
    ours = [word for word in context.meta[WORDS] if word != "--reload"]
    return run_beside(ours, words, root, Flags(**given), reload=reload)
