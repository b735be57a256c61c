"""Connections of the dashboard: so many in all, so many of one address, none for ever.

Waitress closes a connection on which nothing has come for a while. A slow loris sends a byte
now and then: so a request must also be whole some time after it has begun. Who comes too often
gets a 503 that says when to come again, and no place, unless a connection of theirs is idle.
"""

from __future__ import annotations

import contextlib
import ipaddress
from typing import TYPE_CHECKING, Any

from waitress.channel import HTTPChannel

from jobsd.clock import monotonic

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Sequence

CONNECTIONS_MAX = 128
OF_ADDRESS_MAX = 16
REQUEST_S = 20.0
"""Within which a request must have come as a whole."""
_BUSY = (
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nContent-Type: text/plain\r\n"
    b"Content-Length: 41\r\nConnection: close\r\n\r\n"
    b"Too many connections: try again in 5 s.\r\n"
)


class Channel(HTTPChannel):
    """A connection whose requests must come in time."""

    began: float | None = None

    def received(self, data: bytes) -> Any:  # noqa: ANN401 - the library's
        """Take what has come, unless the request has begun too long ago."""
        if self.request is None:
            self.began = monotonic()
        elif self.began is not None and monotonic() - self.began > REQUEST_S:
            self.will_close = True
            return False
        return super().received(data)


def admitting(proxies: Sequence[str]) -> Callable[..., Channel | None]:
    """Return what makes a channel of a new connection; through trusted proxies many come."""
    networks = [ipaddress.ip_network(each, strict=False) for each in proxies]

    def admit(
        server: Any,  # noqa: ANN401 - the library's
        connection: socket.socket,
        address: Any,  # noqa: ANN401
        adjustments: Any,  # noqa: ANN401
        map: Any = None,  # noqa: A002, ANN401 - the library's name
    ) -> Channel | None:
        host = str(address[0])
        others = list(server.active_channels.values())
        own = [each for each in others if str(each.addr[0]) == host and not each.will_close]
        full = len(own) >= OF_ADDRESS_MAX and not _is_in(host, networks)
        if len(others) >= CONNECTIONS_MAX or (full and not _gives_way(own)):
            _refuse(connection)
            return None
        return Channel(server, connection, address, adjustments, map=map)

    return admit


def _gives_way(channels: Sequence[Any]) -> bool:
    """Close the connection on which nothing has come for longest, if one is idle."""
    idle = [each for each in channels if not each.requests and each.request is None]
    if idle:
        min(idle, key=lambda each: each.last_activity).will_close = True
    return bool(idle)


def _is_in(host: str, networks: Sequence[Any]) -> bool:
    with contextlib.suppress(ValueError):
        address = ipaddress.ip_address(host.partition("%")[0])
        return any(address in each for each in networks)
    return False


def _refuse(connection: socket.socket) -> None:
    # It does not wait: a new connection has room for so little.
    with contextlib.suppress(OSError):
        connection.send(_BUSY)
    connection.close()
