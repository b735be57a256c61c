"""Statements sent together over an asynchronous connection: one flush, one transaction.

The event loop drives an exchange: it calls the exchange when the socket can be read. So a
coroutine that waits for one of the answers may be cancelled, and the connection stays usable.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import psycopg
from psycopg import errors
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGresult

from .async_connection import AsyncDeadlineConnection
from .deadline import CANCEL_SHARE, SUCCESS, given_up, is_cancelled

Rows = list[tuple[Any, ...]]
Request = tuple[bytes, Sequence[bytes | None]]
Outcome = Rows | psycopg.Error


class Exchange:
    """Sends requests that return one row each, and reads their answers.

    `done` gets a row for each request, or the error that has undone all requests. If the
    connection was lost, it is unknown whether they were executed.
    """

    def __init__(
        self,
        connection: AsyncDeadlineConnection,
        loop: asyncio.AbstractEventLoop,
        done: Callable[[Outcome], None],
    ) -> None:
        self._connection = connection
        self._loop = loop
        self._done = done
        self._results: list[PGresult] = []
        self._pipelined = False
        self._writes = False
        self._is_overdue = False

    def begin(self, requests: Sequence[Request]) -> None:
        """Send the requests; if the connection is lost, call `done` before this returns."""
        self._connection.exchange = self
        wait_s = self._connection.deadline_s * (1 - CANCEL_SHARE)
        self._timer = self._loop.call_later(wait_s, self._overdue)
        try:
            self._send(requests)
            self._flush()
        except psycopg.Error as error:
            self._lose(error)

    def _send(self, requests: Sequence[Request]) -> None:
        connection = self._connection
        pgconn, known = connection.pgconn, connection.names
        named = connection.prepare_threshold is not None
        if len(requests) > 1 or (named and requests[0][0] not in known):
            self._pipelined = True
            pgconn.enter_pipeline_mode()
        for text, values in requests:
            if not named:
                pgconn.send_query_params(text, values)
                continue
            if (name := known.get(text)) is None:
                name = known[text] = connection.new_name()
                pgconn.send_prepare(name, text)
            pgconn.send_query_prepared(name, values)
        if self._pipelined:
            pgconn.pipeline_sync()

    def readable(self) -> None:
        """Read the input, and end the exchange when all answers have arrived."""
        try:
            self._connection.pgconn.consume_input()
            if self._has_all():
                self._end()
        except psycopg.Error as error:
            self._lose(error)

    def _flush(self) -> None:
        wants = self._connection.pgconn.flush() == 1
        if wants != self._writes:
            self._writes = wants
            if wants:
                self._loop.add_writer(self._connection.watched_socket, self._write)
            else:
                self._loop.remove_writer(self._connection.watched_socket)

    def _write(self) -> None:
        try:
            self._flush()
        except psycopg.Error as error:
            self._lose(error)

    def _has_all(self) -> bool:
        pgconn = self._connection.pgconn
        nothing = 0
        while not pgconn.is_busy():
            result = pgconn.get_result()
            if result is None:
                nothing += 1
                if not self._pipelined:
                    return True
                if nothing > 1:
                    raise psycopg.OperationalError("the connection is lost")
                continue
            nothing = 0
            if result.status == ExecStatus.PIPELINE_SYNC:
                pgconn.exit_pipeline_mode()
                return True
            self._results.append(result)
        return False

    def _end(self) -> None:
        self._timer.cancel()
        refused = [each for each in self._results if each.status not in SUCCESS]
        if refused or self._is_overdue:
            # The refusal may be due to a statement that was prepared on this connection.
            self._connection.part()
        else:
            self._connection.exchange = None
        if self._is_overdue:
            self._done(given_up(self._connection.deadline_s, cancelled=is_cancelled(refused)))
        elif refused:
            self._done(errors.error_from_result(refused[0]))
        else:
            rows = [each for each in self._results if each.status == ExecStatus.TUPLES_OK]
            self._done(self._connection.load(rows))

    def _lose(self, error: psycopg.Error) -> None:
        self._timer.cancel()
        self._connection.part()
        self._done(given_up(self._connection.deadline_s) if self._is_overdue else error)

    def _overdue(self) -> None:
        """Ask the server to cancel; the answer to the requests counts if it still comes."""
        left_s = self._connection.deadline_s * CANCEL_SHARE
        self._is_overdue = True
        self._timer = self._loop.call_later(left_s, self._lose, psycopg.OperationalError())
        self._asks = self._loop.create_task(self._connection.request_cancel(left_s / 2))
