"""Completions for a shell: commands and options by click, names from the database.

A prompt must not hang, and completion must print no messages: after any error, there are no
names. It starts no server: an embedded one that does not run stays stopped.
"""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING

from click.shell_completion import CompletionItem, get_completion_class

from .project import Project

if TYPE_CHECKING:
    from jobsd.database.connection import Session, Statement


PATIENCE_S = 0.2
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
        # Loaded before the time starts, so that all of it is left for the database.
        from jobsd.database.connection import Session
        from jobsd.database.statements import Statements

        from .project import Project

        statements = Statements("jobsd.daemon.cli", "completion.sql")
        with _patience():
            found = list(_read(Project(), statements[kind], Session))
        return [CompletionItem(name) for name in found if name.startswith(incomplete)]
    return []


class _TookTooLongError(BaseException):
    """The time is over. It is not an Exception, so that no `except Exception` catches it."""


@contextlib.contextmanager
def _patience() -> Generator[None]:
    """Interrupt the block when the time is over, even in a wait.

    In a destructor or a callback of the import system, Python only prints the exception and
    continues. So the exception is raised again soon after, and printing is turned off.
    """

    def end(*_: object) -> None:
        raise _TookTooLongError

    sys.unraisablehook = lambda _: None
    signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, PATIENCE_S, AGAIN_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _read(project: Project, statement: Statement, connect: type[Session]) -> Iterator[str]:
    server, target = project.database.server, project.database.target
    if server is not None and not server.running():
        return
    session = connect(target, "jobsd completion", deadline_s=PATIENCE_S)
    with contextlib.closing(session):
        yield from (str(name) for (name,) in session.fetch(statement, {}))
