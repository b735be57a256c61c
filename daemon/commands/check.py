"""`check`: all faults of the configuration at once, without a database."""

import os
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

import click

from jobsd.configuration.flags import Flags
from jobsd.configuration.options import Options
from jobsd.daemon.output import Result, Value
from jobsd.daemon.statuses import CONFIGURATION, DONE
from jobsd.daemon.verbs import Verb
from jobsd.errors import Fault

_EXAMPLES = """
check
check -c config/queue.yml -r config/recurring.yml
check --json
"""


@click.command(cls=Verb, examples=_EXAMPLES)
@click.option("-c", "--config", metavar="FILE", help="Env: JOBSD_CONFIG.")
@click.option("-r", "--recurring", metavar="FILE", help="Env: JOBSD_RECURRING_SCHEDULE.")
@click.option("--import", "imports", metavar="MODULE", multiple=True, help="As in `start`.")
def command(config: str | None, recurring: str | None, imports: tuple[str, ...]) -> Result:
    """Report every configuration error; needs no database and starts nothing.

    It imports the modules of `import:`, and compares recurring tasks with the jobs that they
    name. Exit status 0, or 78 when there are faults.
    """
    from jobsd.configuration.faults import report
    from jobsd.configuration.flags import Flags
    from jobsd.instruments.redaction import redacted

    faults, warnings = _examine(Flags(config=config, recurring=recurring, imports=imports))
    # What a module says that can't be imported is in it too.
    document = redacted(
        {
            "valid": not faults,
            "faults": [asdict(fault) for fault in faults],
            "warnings": warnings,
        }
    )
    return Result(
        document,
        () if faults else (Value("configuration is valid"),),
        report(faults, warnings) if faults or warnings else "",
        CONFIGURATION if faults else DONE,
    )


def _examine(flags: Flags) -> tuple[tuple[Fault, ...], tuple[str, ...]]:
    from jobsd.configuration.folder import project_root
    from jobsd.configuration.load import examine
    from jobsd.daemon.import_check import check_imports
    from jobsd.daemon.unattended import kept_history

    examined = examine(project_root(Path.cwd(), os.environ), os.environ, flags)
    faults, options = examined.faults, examined.options
    if faults and not _knows_modules(faults, options):
        return faults, options.warnings
    imported = check_imports(options)
    if faults or imported.faults:
        return (*faults, *imported.faults), options.warnings
    return (), (*options.warnings, *imported.warnings, *kept_history(options))


def _knows_modules(faults: Iterable[Fault], options: Options) -> bool:
    """Return whether `import:` was read although something else is wrong.

    With a module left out that is misspelt, more would be reported than is wrong.
    """
    queue_file = any(fault.source.partition(":")[0] == options.config for fault in faults)
    return bool(options.imports) or not queue_file
