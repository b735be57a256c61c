"""The HTTP server of the dashboard: waitress, with bounds.

One thread reads all clients, so a slow one blocks no other; a few threads make pages. Requests
that are too long, too slow or too many are closed or refused.
"""

import contextlib
import logging
import socket
import threading
from collections.abc import Callable, Iterable
from typing import Any

from waitress.server import create_server

from . import channels, reading, settings
from .application import Application

Count = Callable[[str, str], None]

THREADS = 8
SLOW_S = 10
_HEAD_MAX = 16_384
_BODY_MAX = 65_536


class Serving:
    """Serves an application on a listening socket."""

    def __init__(
        self,
        application: Application,
        listener: socket.socket,
        count: Count | None = None,
    ) -> None:
        """Serve an application; each answer is counted by its path and status."""
        # It warns of each request that waits for a thread, which is normal here.
        logging.getLogger("waitress").setLevel(logging.ERROR)
        self._application = application
        server: Any = create_server(
            _counting(application, count) if count else application,
            sockets=[listener],
            threads=THREADS,
            # Connections beyond our own bounds get an answer instead of waiting.
            connection_limit=2 * (channels.CONNECTIONS_MAX + reading.STREAMS_MAX),
            channel_timeout=SLOW_S,
            cleanup_interval=5,
            max_request_header_size=_HEAD_MAX,
            max_request_body_size=_BODY_MAX,
            ident=None,
            clear_untrusted_proxy_headers=True,
        )

        server.channel_class = channels.admitting(application.settings.trusted_proxies)
        self._server = server

    def start(self) -> None:
        """Serve in a thread that ends with the process."""
        threading.Thread(target=self.run, name="web", daemon=True).start()

    def run(self) -> None:
        """Serve until `stop`."""
        # Its loop may use sockets that `stop` has closed.
        with contextlib.suppress(OSError):
            self._server.run()

    def stop(self) -> None:
        """Accept no more connections."""
        self._application.close()
        self._server.close()


def _counting(
    application: Application, count: Count
) -> Callable[[settings.Environ, Any], Iterable[bytes]]:
    lock = threading.Lock()
    prefix = application.settings.path

    def counted(environ: settings.Environ, start_response: Any) -> Iterable[bytes]:  # noqa: ANN401
        path = str(environ.get("PATH_INFO") or "/").removeprefix(prefix)

        def begin(status: str, *rest: Any) -> Any:  # noqa: ANN401
            with lock:
                count(path, status.split(maxsplit=1)[0])
            return start_response(status, *rest)

        return application(environ, begin)

    return counted


def address_of(listener: socket.socket) -> str:
    """Return HOST:PORT of a listening socket."""
    host, port, *_ = listener.getsockname()
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
