"""The socket of `/metrics` and health, bound before the first fork.

So a port that is taken is reported at the start, and a monitor that is replaced finds it open.
"""

from __future__ import annotations

import errno
import socket
from typing import TYPE_CHECKING

from jobsd.errors import ConfigurationError, Fault
from jobsd.instruments.events import emit

from .program import program

if TYPE_CHECKING:
    from jobsd.configuration.options import MonitorOptions


def listen(options: MonitorOptions) -> socket.socket | None:
    """Return a listening socket; None without HTTP, and when the default port is taken.

    Raises:
        ConfigurationError: when the address was asked for and can't be had.
    """
    if options.bind is None:
        return None
    try:
        return _bind(options.bind)
    except OSError as error:
        reason = error.strerror or str(error)
        if options.bind_is_default:
            if error.errno == errno.EADDRINUSE:
                reason += f": perhaps another jobsd runs here (`{program()} ps` lists them)"
            emit("http.unavailable", bind=options.bind, error=reason)
            return None
        raise ConfigurationError(
            (
                Fault(
                    f"can't listen on {options.bind}: {reason}",
                    "monitor.bind, JOBSD_METRICS_BIND or --metrics-bind",
                    hint="choose another port, or `off` for a tree without HTTP",
                ),
            )
        ) from error


def _bind(bind: str) -> socket.socket:
    host, _, port = bind.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host and socket.has_dualstack_ipv6():
        return socket.create_server(
            ("", int(port)), family=socket.AF_INET6, dualstack_ipv6=True
        )
    if not host:
        return socket.create_server(("", int(port)))
    family, *_, address = socket.getaddrinfo(
        host, int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    return socket.create_server((str(address[0]), int(port)), family=family)
