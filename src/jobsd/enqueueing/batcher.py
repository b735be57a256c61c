"""Carries the jobs that coroutines of one loop enqueue at the same time, together.

A job goes out at once where nothing is under way. Those that come meanwhile go together when
the answer is there: in one exchange and one transaction over one connection, so that many
coroutines pay for one flush and one commit. When the server refuses one of them, none is
stored, and each is stored anew by itself, by whoever enqueues it.

Who waits for an answer may be cancelled: the others get theirs. Who was to connect for all may
be, too: then the next one does.
"""

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence
from itertools import repeat
from typing import Any, Protocol

import psycopg

from jobsd.database.async_connection import AsyncDeadlineConnection
from jobsd.database.exchange import Exchange, Outcome
from jobsd.errors import DatabaseUnreachableError

TOGETHER_MAX = 100
"""Jobs of one exchange, at most."""
BYTES_MAX = 200_000
"""After so many bytes of parameters, no more jobs are added to an exchange."""

SOON_S = 0.1
"""For so long after an answer, the connection is used again as it is."""

Answer = tuple[Any, ...] | psycopg.Error | DatabaseUnreachableError | None


class Lender(Protocol):
    """The pool of the loop's connections."""

    async def lend(self) -> AsyncDeadlineConnection:
        """Lend a connection."""
        ...

    def take_back(self, connection: AsyncDeadlineConnection) -> None:
        """Take back one that was lent."""
        ...


class _Parcel:
    """One job on its way. The answer None asks whoever waits for it to connect for all."""

    __slots__ = ("answer", "text", "values")

    def __init__(
        self, text: bytes, values: Sequence[bytes | None], answer: asyncio.Future[Answer]
    ) -> None:
        self.text = text
        self.values = values
        self.answer = answer


class Courier:
    """What the coroutines of one loop enqueue to one target, as far as it may go together."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[_Parcel] = deque()
        self._is_out = False

    async def carry(
        self, pool: Lender, text: bytes, values: Sequence[bytes | None]
    ) -> tuple[Any, ...] | psycopg.Error:
        """Store one job over a connection of the pool.

        Returns its row, or why it was not stored with those beside it.

        Raises:
            DatabaseUnreachableError: when no connection can be made.
        """
        parcel = _Parcel(text, values, self._loop.create_future())
        self._waiting.append(parcel)
        try:
            if not self._is_out:
                self._is_out = True
                await self._go(pool)
            while (answer := await parcel.answer) is None:
                parcel.answer = self._loop.create_future()
                await self._go(pool)
        except BaseException:
            self._withdraw(parcel)
            raise
        if isinstance(answer, DatabaseUnreachableError):
            raise DatabaseUnreachableError(str(answer)) from answer.__cause__
        return answer

    async def _go(self, pool: Lender) -> None:
        """Get a connection, and send what waits."""
        try:
            connection = await pool.lend()
        except DatabaseUnreachableError as error:
            self._is_out = False
            while self._waiting:
                _answer(self._waiting.popleft(), error)
        except BaseException:
            self._is_out = False
            raise
        else:
            self._send(pool, connection)

    def _send(self, pool: Lender, connection: AsyncDeadlineConnection) -> None:
        size = 0
        parcels: list[_Parcel] = []
        while self._waiting and len(parcels) < TOGETHER_MAX and size < BYTES_MAX:
            parcel = self._waiting.popleft()
            if not parcel.answer.done():  # or whoever waits for it was cancelled just now
                parcels.append(parcel)
                size += sum(map(len, filter(None, parcel.values)))
        if not parcels:
            self._is_out = False
            pool.take_back(connection)
            return

        def arrived(outcome: Outcome) -> None:
            answers: Iterable[Answer] = (
                outcome if isinstance(outcome, list) else repeat(outcome)
            )
            for parcel, answer in zip(parcels, answers, strict=False):
                _answer(parcel, answer)
            # Behind those who have their answers now, and may have the next job already.
            self._loop.call_soon(self._go_on, pool, connection, self._loop.time())

        Exchange(connection, self._loop, arrived).begin([(p.text, p.values) for p in parcels])

    def _go_on(
        self, pool: Lender, connection: AsyncDeadlineConnection, arrived_at: float
    ) -> None:
        if self._waiting and connection.stands() and self._loop.time() - arrived_at < SOON_S:
            self._send(pool, connection)
            return
        self._is_out = False
        pool.take_back(connection)
        self._pass_on()

    def _withdraw(self, parcel: _Parcel) -> None:
        """Leave a job that waits out; one that was sent may be stored."""
        if parcel in self._waiting:
            self._waiting.remove(parcel)
        answer = parcel.answer
        if answer.done() and not answer.cancelled() and answer.result() is None:
            self._is_out = False
        if not self._is_out:
            self._pass_on()

    def _pass_on(self) -> None:
        """Let the first that waits connect for all."""
        for parcel in self._waiting:
            if not parcel.answer.done():
                self._is_out = True
                parcel.answer.set_result(None)
                return


def _answer(parcel: _Parcel, answer: Answer) -> None:
    if not parcel.answer.done():
        parcel.answer.set_result(answer)
