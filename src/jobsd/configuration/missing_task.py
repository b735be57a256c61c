"""Explains why a task of recurring.yml is not in the table of tasks."""

import collections.abc as c
from pathlib import Path

from . import document, flags, options, recurring_file, sections
from .faults import Faults
from .source import Mapping, UnreadableError, read_source


def explain_missing_task(root: Path, environ: c.Mapping[str, str], key: str) -> str:
    """Return where the file has the task `key`, and what prevents it from being loaded.

    An empty text if the file has no such task; its faults are not reported.
    """
    faults = Faults()
    start = options.StartOptions(**flags.Given(environ, flags.Flags(), faults).start_options())
    try:
        source = read_source(root, start.recurring_file)
    except UnreadableError:
        return ""
    top = document.compose(source, environ, faults) if source else None
    if not isinstance(top, Mapping):
        return ""
    used = sections.pick(top, start.environment, recurring_file.is_own, faults).used
    if used and key in used.pairs:
        when = "a daemon loads the file only at its start and on HUP"
        return f"{start.recurring_file} has it, but {when}"
    if used is top or not (names := _sections_with(key, top)):
        return ""
    return (
        f"{start.recurring_file} has it in its section {', '.join(names)},"
        f" and the environment (JOBSD_ENV) is {start.environment}"
    )


def _sections_with(key: str, top: Mapping) -> list[str]:
    return [
        name
        for name, pair in top.pairs.items()
        if isinstance(pair.value, Mapping) and key in pair.value.pairs
    ]
