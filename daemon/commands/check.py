"""`check`: all faults of the configuration at once, without a database."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from jobsd.configuration.flags import Flags
from jobsd.daemon.verbs import Verb, as_json

if TYPE_CHECKING:
    from jobsd.errors import Fault

_EXAMPLES = """
check
check -c config/queue.yml -r config/recurring.yml
check --json
"""


@click.command(cls=Verb, examples=_EXAMPLES)
@click.option("-c", "--config", metavar="FILE", help="Env: JOBSD_CONFIG.")
@click.option("-r", "--recurring", metavar="FILE", help="Env: JOBSD_RECURRING_SCHEDULE.")
@click.option("--import", "imports", metavar="MODULE", multiple=True, help="As of `start`.")
@as_json
def command(
    config: str | None, recurring: str | None, imports: tuple[str, ...], *, as_json: bool
) -> int:
    """Tell every fault of the configuration; needs no database, starts nothing.

    The modules of `import:` are imported, and recurring tasks compared with the jobs that
    they name. Exit status 0, or 78 when there are faults.
    """
    from jobsd.configuration.faults import report
    from jobsd.daemon.exits import CONFIGURATION, DONE
    from jobsd.daemon.output import print_json, print_line
    from jobsd.daemon.program import note

    faults, warnings = _examine(Flags(config=config, recurring=recurring, imports=imports))
    if as_json:
        from dataclasses import asdict

        from jobsd.instruments.redaction import redacted

        # What a module says that can't be imported is in it too.
        told = [asdict(fault) for fault in faults]
        print_json(redacted({"valid": not faults, "faults": told, "warnings": warnings}))
    else:
        if faults or warnings:
            note(report(faults, warnings))
        if not faults:
            print_line("configuration is valid")
    return CONFIGURATION if faults else DONE


def _examine(flags: Flags) -> tuple[tuple[Fault, ...], tuple[str, ...]]:
    import os
    from pathlib import Path

    from jobsd.configuration.load import examine, project_root
    from jobsd.daemon import history
    from jobsd.daemon.rehearsal import rehearse

    examined = examine(project_root(Path.cwd(), os.environ), os.environ, flags)
    faults, options = examined.faults, examined.options
    # With a module left out that is misspelt, more would be told than is wrong.
    if faults:
        return faults, options.warnings
    rehearsed = rehearse(options)
    if rehearsed.faults:
        return rehearsed.faults, options.warnings
    return (), (*options.warnings, *rehearsed.warnings, *history.warnings(options))
