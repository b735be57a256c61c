"""Log-ins by password: after five failed ones, a growing pause.

Failures count for a name at an address, so that guesses elsewhere keep no one out. While the
pause lasts, no password is verified, except that of a browser that has logged in before: it
sends its password with each request.
"""

import hashlib
import secrets
import threading
from http import HTTPStatus
from math import ceil

from jobsd.clock import monotonic
from jobsd.events.events import emit

from .http import RefusedRequest

FREE = 5
"""The failures before the first pause, of a second; each next pause is twice as long."""
PAUSE_MAX_S = 60
KEPT_MAX = 10_000
"""The maximum of names and of log-ins that are remembered; the oldest are forgotten."""


class Logins:
    """The failures and the successes of the log-ins to one dashboard; safe for any thread."""

    def __init__(self) -> None:
        self._salt = secrets.token_bytes(16)
        self._lock = threading.Lock()
        self._failed: dict[bytes, tuple[int, float]] = {}
        self._succeeded: dict[bytes, None] = {}

    def require_no_pause(self, name: str, password: str, address: str) -> None:
        """Return if this password may be verified now.

        Raises:
            RefusedRequest: while this name must pause at this address.
        """
        with self._lock:
            if self._digest(name, address, password) in self._succeeded:
                return
            _, until = self._failed.get(self._digest(name, address), (0, 0.0))
        left = ceil(until - monotonic())
        if left > 0:
            sentence = f"Too many log-ins have failed: try again in {left} s."
            raise RefusedRequest(
                HTTPStatus.TOO_MANY_REQUESTS, sentence, ("Retry-After", str(left))
            )

    def failed(self, name: str, address: str) -> None:
        """Count a failure; from the fifth one on, the name must pause at this address."""
        key = self._digest(name, address)
        with self._lock:
            number = self._failed.pop(key, (0, 0.0))[0] + 1
            pause_s = min(PAUSE_MAX_S, 2 ** min(number - FREE, 10)) if number >= FREE else 0
            self._failed[key] = (number, monotonic() + pause_s)
            if len(self._failed) > KEPT_MAX:
                del self._failed[next(iter(self._failed))]
        if pause_s:
            emit("web.login_refused", name=name[:100], address=address, failures=number)

    def succeeded(self, name: str, password: str, address: str) -> None:
        """Forget the failures before a log-in, and remember the log-in."""
        login = self._digest(name, address, password)
        with self._lock:
            # Not at each request of a known browser: others may guess at its address.
            if login not in self._succeeded:
                self._failed.pop(self._digest(name, address), None)
                self._succeeded[login] = None
            if len(self._succeeded) > KEPT_MAX:
                del self._succeeded[next(iter(self._succeeded))]

    def _digest(self, *parts: str) -> bytes:
        text = "\0".join(parts).encode(errors="surrogatepass")
        return hashlib.blake2b(text, key=self._salt, digest_size=16).digest()
