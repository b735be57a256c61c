"""`console`: a Python prompt in the project, with its jobs and its database."""

import os
import sys
from collections.abc import Iterable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click

from jobsd.daemon.cli.verbs import Project, Verb, on_project
from jobsd.daemon.program import note
from jobsd.daemon.statuses import DONE, FAILED
from jobsd.daemon.values import wrapped

_EXAMPLES = """
console
console < script.py
"""
_FROM_OUTSIDE = ("HeartbeatLog", "RecurringTask", "queues")
_WIDTH = 80
_HISTORY_LINES = 10_000


@click.command(cls=Verb, prints=False, examples=_EXAMPLES)
@on_project
def command(project: Project) -> int:
    """Open a Python prompt with the project's jobs, `HeartbeatLog`, `RecurringTask`, `queues`.

    It uses IPython or ptpython if one is installed. If stdin is not a terminal, it runs the
    program on stdin instead. The database is that of all other commands.
    """
    from jobsd.enqueueing import client

    project.makes = True
    sys.path.insert(0, str(project.root))
    with project.session() as session:
        session.close()
    project.load_jobs()
    client.configure(client=client.Client(project.target()))
    names = _names()
    try:
        if sys.stdin.isatty():
            _interact(names)
        else:
            exec(compile(sys.stdin.read(), "<stdin>", "exec"), names)  # noqa: S102 - it is the caller's own
    except SystemExit as left:
        return _status(left.code)
    return DONE


def _status(code: object) -> int:
    """Return the exit status of `sys.exit(code)`, as Python does; a text is an error."""
    if code is None or isinstance(code, int):
        return code or DONE
    note(str(code))
    return FAILED


def _names() -> dict[str, Any]:
    """Return the names at the prompt: the exports of jobsd, and each job by its own name."""
    import jobsd
    from jobsd import face

    found: dict[str, Any] = {"__name__": "__console__", "jobsd": jobsd, **_jobs()}
    return found | {name: face.find(name) for name in (*face.HOMES, *_FROM_OUTSIDE)}


def _jobs() -> dict[str, object]:
    """Return the jobs of the project, and that of jobsd, by the names in their modules."""
    from jobsd.jobs import registry

    found: dict[str, object] = {}
    for definition in registry.definitions():
        module, _, name = definition.source.rpartition(".")
        if module in sys.modules and name.isidentifier():
            found[name] = getattr(sys.modules[module], name, None)
    return found


def _interact(names: dict[str, Any]) -> None:
    """Open the best prompt that is installed."""
    for line in _banner(_jobs()):
        note(line)
    if find_spec("IPython"):
        start = import_module("IPython").start_ipython
        start(argv=["--no-banner"], user_ns=names)
    elif find_spec("ptpython"):
        history = _history("ptpython_history")
        embed = import_module("ptpython.repl").embed
        embed(globals=names, history_filename=str(history) if history else None)
    else:
        _plain_prompt(names)


def _banner(jobs: Iterable[str]) -> list[str]:
    return [
        f"queries: {', '.join(_FROM_OUTSIDE)}; all of jobsd: help(jobsd)",
        *wrapped(f"jobs: {', '.join(sorted(jobs))}", _WIDTH, "  "),
    ]


def _plain_prompt(names: dict[str, Any]) -> None:
    """Open Python's own prompt; Tab completes, and the lines are those of each time before."""
    import code
    import contextlib
    import readline
    import rlcompleter

    readline.set_completer(rlcompleter.Completer(names).complete)
    readline.parse_and_bind("tab: complete")
    readline.set_history_length(_HISTORY_LINES)
    history = _history("console_history")
    if history:
        with contextlib.suppress(OSError):
            readline.read_history_file(history)
    try:
        code.interact(banner="", local=names, exitmsg="")
    finally:
        if history:
            with contextlib.suppress(OSError):
                readline.write_history_file(history)


def _history(name: str) -> Path | None:
    """Return the file of the lines that were typed, which only its owner reads."""
    try:
        state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state"
        history = Path(state, "jobsd", name)
        history.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        history.touch(mode=0o600)
    except (OSError, RuntimeError):
        return None  # A prompt without a history is better than none.
    return history
