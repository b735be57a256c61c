"""Looks up the names of hosts, so that a silent name server blocks no loop for long.

`getaddrinfo` has no deadline and can't be interrupted: with name servers that do not answer it
takes minutes. So a thread calls it, at most one for each name in a process, and continues even
if no connect waits for it any more. libpq gets the addresses beside the name (`hostaddr`), and
looks up no name itself; the name stays, for certificates, Kerberos and password files.

A connect waits `SHORT_S` if it has addresses to try: the last ones of the name, or those of
another host of the URL. Without any it fails `WITHIN_S` after the look-up began. A loop that
has never connected checks first (`require_settled`), and does its other work meanwhile.

Invariant: no code needs this thread to end. A fork has none of them, and the end of the process
leaves them behind.
"""

import asyncio
import contextlib
import os
import socket
import threading
from collections.abc import Iterator, Sequence
from concurrent import futures
from ipaddress import ip_address
from typing import Any

import psycopg
from psycopg import conninfo

from jobsd.clock import monotonic

from .hosts import places

WITHIN_S = 5.0
"""Time from the start of a look-up for which a connect waits if it has no address to try."""
SHORT_S = 0.5
"""The same if it has one: name servers answer within a tenth of that."""
TICK_S = 0.25
"""How long a loop waits at a time: it ticks, and handles signals, in between."""
FRESH_S = 1.0
"""How long an answer is valid: for the connect that has requested it."""

Parameters = dict[str, Any]

_ENVIRONMENT = {"host": "PGHOST", "hostaddr": "PGHOSTADDR", "port": "PGPORT"}
_NO_SUCH_NAME = {socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)}


class StillLookingUpError(psycopg.OperationalError):
    """A name that a connect needs is being looked up: a loop tries again soon."""


class _Lookup:
    """One call of `getaddrinfo`, in a thread of its own."""

    def __init__(self, host: str) -> None:
        self.host = host
        self.began = monotonic()
        self.ended: float | None = None
        self.error = f"name not resolved within {WITHIN_S:g} s"
        self.addresses = _last.get(host, ())
        """The addresses to try: the last ones, until there are newer ones."""
        self.done: futures.Future[None] = futures.Future()

    def start(self) -> None:
        """Look up in a thread."""
        try:
            threading.Thread(target=self._ask, name="look-up", daemon=True).start()
        except RuntimeError as error:
            self._end(str(error))

    def _ask(self) -> None:
        try:
            found = socket.getaddrinfo(
                self.host, None, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP
            )
        except (OSError, UnicodeError) as error:
            if isinstance(error, UnicodeError) or error.errno in _NO_SUCH_NAME:
                self.addresses = ()
            self._end(str(error))
        else:
            self.addresses = tuple(dict.fromkeys(str(each[4][0]) for each in found))
            _last[self.host] = self.addresses
            self._end("")

    def _end(self, error: str) -> None:
        self.error = error
        self.ended = monotonic()
        self.done.set_result(None)

    @property
    def counts(self) -> bool:
        """Whether it is under way, or its answer is new."""
        return self.ended is None or monotonic() - self.ended < FRESH_S


_lookups: dict[str, _Lookup] = {}
_last: dict[str, tuple[str, ...]] = {}
"""The last addresses of each name."""
_lock = threading.Lock()


def _begin_anew() -> None:
    global _lock  # noqa: PLW0603 - another thread may have held it at the fork
    _lock = threading.Lock()
    _lookups.clear()


os.register_at_fork(after_in_child=_begin_anew)


def resolve(parameters: Parameters) -> Parameters:
    """Return the parameters with an address for each host; the waits are described above.

    Raises:
        psycopg.OperationalError: if none of the hosts has one.
    """
    asked = _Asked(parameters)
    for pending, timeout_s in asked.waits():
        futures.wait(pending, timeout_s, futures.FIRST_COMPLETED)
    return asked.answer()


async def resolve_async(parameters: Parameters) -> Parameters:
    """The asynchronous form of `resolve`."""
    asked = _Asked(parameters)
    for pending, timeout_s in asked.waits():
        await _wait(pending, timeout_s)
    return asked.answer()


def require_settled(*urls: str | None, within_s: float = TICK_S) -> None:
    """Check that a connect to these URLs would wait for no name.

    Raises:
        StillLookingUpError: if it would, for longer than `within_s` from now.
    """
    end = monotonic() + within_s
    for url in filter(None, urls):
        for pending, timeout_s in _Asked(_parsed(url)).waits():
            if (left_s := end - monotonic()) <= 0:
                raise StillLookingUpError("a name is being looked up")
            futures.wait(pending, min(timeout_s, left_s), futures.FIRST_COMPLETED)


class _Asked:
    """The look-ups that one connect needs."""

    def __init__(self, parameters: Parameters) -> None:
        self._parameters = parameters
        self._places = _places(parameters)
        names = dict.fromkeys(place["host"] for place in self._places if _is_named(place))
        self._lookups = {name: _lookup(name) for name in names}

    def waits(self) -> Iterator[tuple[Sequence[futures.Future[None]], float]]:
        """Yield the look-ups to wait for, and the time to wait, while there is a reason to."""
        while pending := [each for each in self._lookups.values() if not each.done.done()]:
            patience_s = SHORT_S if self._tries() else WITHIN_S
            left_s = max(each.began for each in pending) + patience_s - monotonic()
            if left_s <= 0:
                return
            yield [each.done for each in pending], left_s

    def answer(self) -> Parameters:
        """Return the parameters for the driver, without any name left to look up."""
        if not self._lookups:
            return self._parameters
        tries = self._tries()
        if not tries:
            host, lookup = next(reversed(self._lookups.items()))
            raise psycopg.OperationalError(f"failed to resolve host {host!r}: {lookup.error}")
        lists = {key: ",".join(place.get(key) or "" for place in tries) for key in tries[0]}
        return {**self._parameters, **lists}

    def _tries(self) -> list[Parameters]:
        """Return the hosts that can be tried now, each with an address."""
        return [
            {**place, "hostaddr": address}
            for place in self._places
            for address in self._addresses(place)
        ]

    def _addresses(self, place: Parameters) -> tuple[str, ...]:
        if _is_named(place):
            return self._lookups[place["host"]].addresses
        host = place.get("host", "")
        return (place.get("hostaddr") or (host if _is_address(host) else ""),)


def _lookup(name: str) -> _Lookup:
    """Return the look-up of a name that is under way or has just ended, or a new one."""
    with _lock:
        found = _lookups.get(name)
        if found is None or not found.counts:
            found = _lookups[name] = _Lookup(name)
            found.start()
    return found


def _places(parameters: Parameters) -> list[Parameters]:
    """Return the hosts one by one; none if libpq reads them from a service file."""
    serviced = "service" in parameters or "PGSERVICE" in os.environ
    if serviced and "host" not in parameters:
        return []
    given = {
        key: os.environ[variable]
        for key, variable in _ENVIRONMENT.items()
        if variable in os.environ
    }
    return places(given | parameters)


def _parsed(url: str) -> Parameters:
    try:
        return dict(conninfo.conninfo_to_dict(url))
    except psycopg.Error:
        return {"host": ""}  # the connect reports the error


def _is_named(place: Parameters) -> bool:
    host = place.get("host", "")
    return bool(
        host
        and not place.get("hostaddr")
        and not host.startswith(("/", "@"))
        and not _is_address(host)
    )


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


async def _wait(pending: Sequence[futures.Future[None]], timeout_s: float) -> None:
    """Wait until one has ended, or for `timeout_s`."""
    loop, ended = asyncio.get_running_loop(), asyncio.Event()

    def wake(_ended: object) -> None:
        # The loop may be closed by then.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(ended.set)

    for each in pending:
        each.add_done_callback(wake)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(timeout_s):
            await ended.wait()
