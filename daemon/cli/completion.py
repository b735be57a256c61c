"""Completions for a shell: commands and options by click, names from here.

Names of jobs are those of the project's modules, other names come from the database.

A prompt must not hang, and completion must print no messages: after any error, there are no
names. It starts no server: an embedded one that does not run stays stopped.
"""

from __future__ import annotations

import contextlib
import io
import signal
import sys
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import TYPE_CHECKING

from click.shell_completion import CompletionItem, get_completion_class

from .project import Project

if TYPE_CHECKING:
    from jobsd.configuration.target import Database
    from jobsd.database.connection import Session, Statement


PATIENCE_S = 0.2
"""The time that the database gets."""
IMPORT_S = 1.0
"""The time that the project's modules get."""
AGAIN_S = 0.05
PROGRAMS = ("jobs", "jobsd")


def script(shell: str) -> str:
    """Return the script by which a shell completes both names of our program."""
    from .cli import COMPLETE, commands

    found = get_completion_class(shell)
    if found is None:
        raise ValueError(f"there is no completion for {shell}")
    return "\n".join(found(commands, {}, name, COMPLETE).source() for name in PROGRAMS)


def names(kind: str, incomplete: str) -> list[CompletionItem]:
    """Return the names of a kind with this beginning; none if the database is slow."""
    with contextlib.suppress(BaseException):
        # Our own modules are loaded before a time starts.
        source = _SOURCES.get(kind)
        found = source() if source else _of_database(kind)
        return items(found, incomplete)
    return []


def items(found: Iterable[str], incomplete: str) -> list[CompletionItem]:
    """Return those that begin as it is typed."""
    return [CompletionItem(name) for name in found if name.startswith(incomplete)]


def _jobs() -> Iterable[str]:
    """Return the names of the project's jobs; whatever its modules print is dropped."""
    from jobsd.daemon.shipped import import_shipped_jobs
    from jobsd.jobs import registry

    project = Project()
    nowhere = io.StringIO()
    with contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
        import_shipped_jobs()
        imports, root = project.options.imports, project.root
        with _patience(IMPORT_S):
            registry.load_modules(imports, root)
    return sorted(definition.name for definition in registry.definitions())


def _zones() -> Iterable[str]:
    from zoneinfo import available_timezones

    return sorted(available_timezones())


_SOURCES: dict[str, Callable[[], Iterable[str]]] = {"job": _jobs, "zone": _zones}
"""The kinds of names that need no database."""


def _of_database(kind: str) -> Iterable[str]:
    from jobsd.database.connection import Session
    from jobsd.database.statements import Statements

    statement = Statements("jobsd.daemon.cli", "completion.sql")[kind]
    project = Project()
    # The configuration is read before the time starts, which is the database's.
    found = project.database
    with _patience():
        return list(_read(found, statement, Session))


class _TookTooLongError(BaseException):
    """The time is over. It is not an Exception, so that no `except Exception` catches it."""


@contextlib.contextmanager
def _patience(seconds: float = PATIENCE_S) -> Generator[None]:
    """Interrupt the block when the time is over, even in a wait.

    In a destructor or a callback of the import system, Python only prints the exception and
    continues. So the exception is raised again soon after, and printing is turned off.
    """

    def end(*_: object) -> None:
        raise _TookTooLongError

    sys.unraisablehook = lambda _: None
    signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds, AGAIN_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _read(found: Database, statement: Statement, connect: type[Session]) -> Iterator[str]:
    if found.server is not None and not found.server.running():
        return
    session = connect(found.target, "jobsd completion", deadline_s=PATIENCE_S)
    with contextlib.closing(session):
        yield from (str(name) for (name,) in session.fetch(statement, {}))
