"""Answers the statements of jobsd's own functions from the queue in memory.

A function that needs other statements raises: none reaches a database by mistake.
"""

import contextlib
from collections.abc import Callable, Generator, Mapping
from datetime import datetime, timedelta
from typing import Any, NoReturn, cast

from jobsd.acts import retention
from jobsd.database.connection import Session, Statement
from jobsd.errors import Error
from jobsd.heartbeat import log as heartbeat_log
from jobsd.recurring import command_job

from . import by_hand, job_store

Rows = list[tuple[Any, ...]]


class Answers:
    """A client, and a session, of the queue in memory.

    `commands` are those of recurring tasks, by their keys.
    """

    keep_finished_s = 86400.0

    def __init__(self, queue: job_store.JobStore) -> None:
        self._queue = queue
        self.commands: dict[str, str] = {}
        self.heartbeats: list[tuple[int, datetime, str, str]] = []
        self._known: dict[Statement, Callable[[Mapping[str, Any]], Rows]] = {
            **by_hand.ByHand(queue).answers(),
            command_job.STATEMENTS["command"]: self._command,
            heartbeat_log.STATEMENTS["record"]: self._heartbeat,
            retention.STATEMENTS["clear"]: self._clear,
        }

    @contextlib.contextmanager
    def session(self) -> Generator[Session]:
        """Lend this object as a session."""
        yield cast("Session", self)

    @property
    def connection(self) -> Any:  # noqa: ANN401 - none
        """None; acts on many jobs only begin transactions on it."""
        return self

    def transaction(self) -> contextlib.AbstractContextManager[None]:
        """Begin a transaction: each act is atomic here anyway."""
        return contextlib.nullcontext()

    @property
    def target(self) -> Any:  # noqa: ANN401 - none
        """No database; callers only compare targets."""
        return self

    url = schema = "in memory"

    def fetch(self, statement: Statement, parameters: Mapping[str, Any] = {}) -> Rows:
        """Answer a statement.

        Raises:
            Error: when the queue in memory has no answer.
        """
        answer = self._known.get(statement)
        if answer is None:
            self._refuse(statement.name)
        return answer(parameters)

    def __getattr__(self, name: str) -> NoReturn:
        self._refuse(name)

    def _refuse(self, what: str) -> NoReturn:
        raise Error(
            f"the test kit's queue in memory lacks this ({what}): test it with a database,"
            " without the fixtures jobs, jobs_inline and jobs_clock"
        )

    def _command(self, given: Mapping[str, Any]) -> Rows:
        command = self.commands.get(given["key"])
        return [] if command is None else [(command,)]

    def _heartbeat(self, given: Mapping[str, Any]) -> Rows:
        number, now = len(self.heartbeats) + 1, self._queue.now()
        self.heartbeats.append((number, now, given["environment"], given["hostname"]))
        return [self.heartbeats[-1]]

    def _clear(self, given: Mapping[str, Any]) -> Rows:
        before = given["finished_before"]
        if before is None:
            before = self._queue.now() - timedelta(seconds=given["older_than_s"])
        gone = self._queue.forget_ended(before, given["class_name"])
        return [(gone, None, gone, None, False)]
