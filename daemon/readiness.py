"""Reports readiness and status to systemd, as sd_notify(3) does."""

import contextlib
import os
import socket
from collections.abc import Mapping


class Readiness:
    """The way to who has started us, if it wants to know.

    `watchdog_s` is how often it wants a sign of life, None for never. The variables are
    read once: children must not find them.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        address = environ.get("NOTIFY_SOCKET", "")
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self.watchdog_s = _watchdog_s(environ)

    def notify(self, lines: str) -> None:
        """Send assignments, one a line; never raises and never waits."""
        if not self._address:
            return
        # Whoever does not listen, or has no room, misses it: we have other things to do.
        with contextlib.suppress(OSError), _datagrams() as wire:
            wire.sendto(lines.encode(), socket.MSG_DONTWAIT, self._address)


def _datagrams() -> socket.socket:
    return socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)


def _watchdog_s(environ: Mapping[str, str]) -> float | None:
    if environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    usec = environ.get("WATCHDOG_USEC", "")
    return int(usec) / 1e6 if usec.isdecimal() and int(usec) else None
