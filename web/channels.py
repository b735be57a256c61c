"""Bounds the dashboard's connections: in all, per address, and in time.

Waitress closes a connection on which nothing has come for a while. A slow loris sends a byte
now and then, so each request must also be complete within a time, and the client must read its
answer. An address with too many connections gets a 503 with a time to retry and no connection,
unless one of its connections has been answered and is idle: that one is closed instead.

A connection with a stream belongs to no thread: the thread with an event writes to it. It does
not count here, because the application bounds streams: a page has a place beside any number.
"""

import contextlib
import ipaddress
import socket
from collections.abc import Callable, Sequence
from typing import Any

from waitress import wasyncore
from waitress.channel import ClientDisconnected, HTTPChannel
from waitress.parser import HTTPRequestParser, ParsingError
from waitress.task import WSGITask

from jobsd.clock import monotonic

from .streams import Stream

CONNECTIONS_MAX = 128
OF_ADDRESS_MAX = 16
REQUEST_S = 20.0
"""The time within which a request must be complete."""
UNREAD_S = 20.0
"""Close a client that has read nothing for this long."""
WAITING_MAX = 16
"""The maximum of requests waiting on one connection: browsers may send the next one early."""
UNREAD_MAX = 65_536
"""The maximum of unread bytes in a stream."""
REFUSED_S = 2.0
"""The time that a refused client has to read its answer."""
REFUSED_MAX = 128
"""The maximum of refused clients that are reading; the oldest gives way to the next one."""
_BUSY = (
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nContent-Type: text/plain\r\n"
    b"Content-Length: 41\r\nConnection: close\r\n\r\n"
    b"Too many connections: try again in 5 s.\r\n"
)


class Task(WSGITask):
    """A request whose answer may go on as a stream, without a thread of its own."""

    def get_environment(self) -> Any:  # noqa: ANN401 - the library's
        """Return the environment; the application puts the stream into it."""
        environ = super().get_environment()
        environ.setdefault("jobsd.stream", None)
        return environ

    def finish(self) -> None:
        """End the answer, or leave its connection to the stream."""
        stream = self.environ and self.environ["jobsd.stream"]
        if not stream:
            super().finish()
            return
        self.close_on_finish = False
        channel: Any = self.channel
        channel.watch(stream, chunked=self.chunked_response)


class Parser(HTTPRequestParser):
    """Refuses a request with two lengths, or with an encoding that its version lacks.

    A proxy before us might believe the other length. The body according to one of them would be
    the next request according to the other, and the proxy would never have checked it.
    """

    def received(self, data: bytes) -> int:
        """Read bytes, and return how many of them belong to this request.

        If a client waits to be asked for the body, the library would ask for it and wait, even
        when the request is refused or has none.
        """
        taken: int = super().received(data)
        if self.completed:
            self.expect_continue = False
        return taken

    def parse_header(self, header_plus: bytes) -> None:
        """Read the head of a request."""
        super().parse_header(header_plus)
        # The library has removed the header if it has understood it.
        if "TRANSFER_ENCODING" in self.headers or (
            self.chunked and "CONTENT_LENGTH" in self.headers
        ):
            raise ParsingError("Transfer-Encoding with a length, or before version 1.1")


class Channel(HTTPChannel):
    """A connection whose requests must come in time, or which has a stream."""

    task_class = Task
    parser_class = Parser
    began: float | None = None
    stream: Stream | None = None
    _chunked = False
    _left, _sent_at = 0, 0.0

    def received(self, data: bytes) -> Any:  # noqa: ANN401 - the library's
        """Read bytes, unless the request began too long ago."""
        if self.stream is not None:
            # A client with a stream sends no further requests.
            self.will_close = True
            return False
        if self.request is None:
            self.began = monotonic()
        elif self.began is not None and monotonic() - self.began > REQUEST_S:
            self.will_close = True
            return False
        taken = super().received(data)
        if len(self.requests) > WAITING_MAX:
            self.will_close = True
        return taken

    def writable(self) -> Any:  # noqa: ANN401
        """Return whether there are bytes to send; close a client that reads none."""
        now, left = monotonic(), self.total_outbufs_len
        if left < self._left or not self._left:
            self._sent_at = now
        self._left = left
        if left and now - self._sent_at > UNREAD_S:
            self.will_close = True
        if left and self.will_close and self.socket is not None:
            # The library closes a connection once it is writable: this makes it writable at
            # once.
            with contextlib.suppress(OSError):
                self.socket.shutdown(socket.SHUT_RDWR)
        return super().writable()

    def watch(self, stream: Stream, *, chunked: bool) -> None:
        """Let the stream write to this connection from now on."""
        self._chunked, self.stream = chunked, stream
        stream.hand_over(self._push)
        if not self.connected:
            stream.end()

    def handle_write(self) -> None:
        """Send waiting bytes, and keep other threads from writing to a stream meanwhile."""
        if self.stream is None:
            super().handle_write()
            return
        with self.outbuf_lock:
            super().handle_write()

    def handle_close(self) -> None:
        """End the stream with its connection."""
        super().handle_close()
        if self.stream is not None:
            self.stream.end()

    def _push(self, data: bytes) -> None:
        """Write an event; close the connection after the last one, or if its buffer is full."""
        if self.socket is None or not self.connected:
            return
        text = b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data
        # The client, or the server, may have gone before.
        with contextlib.suppress(ClientDisconnected, OSError):
            if not data or self.total_outbufs_len > UNREAD_MAX:
                # It can't be written to any more; the loop notices this at once.
                self.will_close = True
                self.socket.shutdown(socket.SHUT_RDWR)
            else:
                self.write_soon(text)
            self.server.pull_trigger()


class Refusal(wasyncore.dispatcher):
    """A refused connection, which stays open until its client has read the answer.

    If it were closed at once, what the client sends would reset it, and the answer be lost.
    """

    def __init__(self, connection: socket.socket, map: dict[int, Any]) -> None:  # noqa: A002
        others = [each for each in map.values() if isinstance(each, Refusal)]
        if len(others) >= REFUSED_MAX:
            others[0].close()
        super().__init__(connection, map=map)
        self._until = monotonic() + REFUSED_S
        # The client may be gone. Else this does not block: a new connection has room for it.
        with contextlib.suppress(OSError):
            connection.send(_BUSY)
            connection.shutdown(socket.SHUT_WR)

    def readable(self) -> bool:
        """Return whether to read on; the server's loop asks at least once a second."""
        if monotonic() < self._until:
            return True
        self.close()
        return False

    def writable(self) -> bool:
        """Return that all is said."""
        return False

    def handle_read(self) -> None:
        """Read and forget; at its end the connection closes itself."""
        self.recv(65_536)


def admitting(proxies: Sequence[str]) -> Callable[..., Channel | None]:
    """Return a factory of channels; many connections may come through trusted proxies."""
    networks = [ipaddress.ip_network(each, strict=False) for each in proxies]

    def admit(
        server: Any,  # noqa: ANN401 - the library's
        connection: socket.socket,
        address: Any,  # noqa: ANN401
        adjustments: Any,  # noqa: ANN401
        map: dict[int, Any],  # noqa: A002 - the library's name
    ) -> Channel | None:
        host = str(address[0])
        pages = [each for each in list(server.active_channels.values()) if not each.stream]
        own = [each for each in pages if str(each.addr[0]) == host and not each.will_close]
        full = len(own) >= OF_ADDRESS_MAX and not _is_in(host, networks)
        if len(pages) >= CONNECTIONS_MAX or (full and not _gives_way(own)):
            Refusal(connection, map)
            return None
        return Channel(server, connection, address, adjustments, map=map)

    return admit


def _gives_way(channels: Sequence[Any]) -> bool:
    """Close the answered connection that has been silent for longest, if one is idle.

    The first request of any other one may have come, and only be unread.
    """
    idle = [each for each in channels if each.began and not (each.requests or each.request)]
    if idle:
        min(idle, key=lambda each: each.last_activity).will_close = True
    return bool(idle)


def _is_in(host: str, networks: Sequence[Any]) -> bool:
    with contextlib.suppress(ValueError):
        address = ipaddress.ip_address(host.partition("%")[0])
        return any(address in each for each in networks)
    return False
