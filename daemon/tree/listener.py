"""The sockets of `/metrics` and health, and of the dashboard, bound before the first fork.

So a port that is taken is reported at the start, and a monitor that is replaced finds it open.
"""

import errno
import ipaddress
import os
import socket
from collections.abc import Mapping
from importlib.util import find_spec

from jobsd.configuration import flags
from jobsd.configuration.options import Options
from jobsd.configuration.users import users_of
from jobsd.daemon.program import program
from jobsd.errors import ConfigurationError, Fault
from jobsd.events.events import emit


def listeners(
    options: Options, environ: Mapping[str, str]
) -> tuple[socket.socket | None, socket.socket | None]:
    """Return the sockets of the monitor and of the dashboard, if they are wanted."""
    return listen(options), listen_web(options, environ)


def listen(options: Options) -> socket.socket | None:
    """Return a listening socket; None without HTTP, and if the default port is taken.

    Raises:
        ConfigurationError: if the requested address can't be bound.
    """
    bind = options.monitor.bind
    if bind is None:
        return None
    try:
        return bound(bind)
    except OSError as error:
        reason = _reason(error)
        if options.monitor.bind_is_default:
            if error.errno == errno.EADDRINUSE:
                reason += f": perhaps another jobsd runs here (`{program()} ps` lists them)"
            emit("http.unavailable", bind=bind, error=reason)
            return None
        raise ConfigurationError(
            (
                Fault(
                    f"can't listen on {bind}: {reason}",
                    flags.place(options, "metrics_bind", "monitor.bind"),
                    hint="choose another port, or `off` for a tree without HTTP",
                ),
            )
        ) from error


def listen_web(options: Options, environ: Mapping[str, str]) -> socket.socket | None:
    """Return the socket of the dashboard; None if no process of the tree serves it.

    Raises:
        ConfigurationError: if the address can't be bound, or would let anyone in.
    """
    if options.web.bind is None:
        return None
    require_web(options, environ, options.web.bind)
    try:
        return bound(options.web.bind)
    except OSError as error:
        reason = _reason(error)
        raise _refusal(
            f"can't listen on {options.web.bind}: {reason}", "another port"
        ) from error


def require_web(options: Options, environ: Mapping[str, str], bind: str) -> None:
    """Check that a dashboard may be served at an address.

    Raises:
        ConfigurationError: without the packages of the extra, and without users anywhere but
            on loopback.
    """
    if find_spec("jinja2") is None or find_spec("waitress") is None:
        raise _refusal(
            "the dashboard needs packages that are not installed", "pip install 'jobsd[web]'"
        )
    web = options.web
    if users_of(web.users, environ) or (web.trusted_header and web.trusted_proxies):
        return
    if not _is_loopback(bind.rpartition(":")[0].removeprefix("[").removesuffix("]")):
        raise _refusal(
            f"other hosts can reach {bind}, but the dashboard has no users",
            "name web.users in queue.yml, or set JOBSD_WEB_PASSWORD or JOBSD_WEB_TOKEN",
        )


def _refusal(message: str, hint: str) -> ConfigurationError:
    return ConfigurationError((Fault(message, "web.bind", hint=hint),))


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _reason(error: OSError) -> str:
    """Return the reason without the address, which Python adds in its own form."""
    return os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)


def bound(bind: str) -> socket.socket:
    """Return a socket that listens at an address; without a host, on all of this machine's."""
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
