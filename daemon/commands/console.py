"""`console`: a Python prompt in the project, with its jobs and its database."""

import sys
from typing import Any

import click

from jobsd.daemon.cli.verbs import Project, Verb, on_project
from jobsd.daemon.program import note

_EXAMPLES = """
console
console < script.py
"""
_FROM_OUTSIDE = ("HeartbeatLog", "RecurringTask", "queues")


@click.command(cls=Verb, prints=False, examples=_EXAMPLES)
@on_project
def command(project: Project) -> None:
    """Open a Python prompt with the project's jobs, `HeartbeatLog`, `RecurringTask`, `queues`.

    It uses IPython if that is installed. If stdin is not a terminal, it runs the program on
    stdin instead. The database is the one that the other commands use.
    """
    from jobsd.enqueueing import client

    project.makes = True
    sys.path.insert(0, str(project.root))
    with project.session() as session:
        session.close()
    project.load_jobs()
    client.configure(client=client.Client(project.target()))
    names = _names()
    if sys.stdin.isatty():
        _interact(names)
    else:
        exec(compile(sys.stdin.read(), "<stdin>", "exec"), names)  # noqa: S102 - it is the caller's own


def _names() -> dict[str, Any]:
    """Return the names at the prompt: the exports of jobsd, and each job by its own name."""
    import jobsd
    from jobsd import face
    from jobsd.jobs import registry

    found: dict[str, Any] = {"__name__": "__console__", "jobsd": jobsd}
    for definition in registry.definitions():
        module, _, name = definition.source.rpartition(".")
        if module in sys.modules and name.isidentifier():
            found[name] = getattr(sys.modules[module], name, None)
    found |= {name: face.find(name) for name in face.HOMES}
    return found | {name: face.find(name) for name in _FROM_OUTSIDE}


def _interact(names: dict[str, Any]) -> None:
    import code
    import readline
    import rlcompleter
    from importlib import import_module
    from importlib.util import find_spec

    from jobsd import face

    jobs = sorted(name for name in names if name not in face.HOMES and not name.startswith("_"))
    note(f"available: {', '.join([*_FROM_OUTSIDE, *jobs])}")
    if find_spec("IPython"):
        import_module("IPython").start_ipython(argv=[], user_ns=names)
        return
    readline.set_completer(rlcompleter.Completer(names).complete)
    readline.parse_and_bind("tab: complete")
    code.interact(banner="", local=names, exitmsg="")
