"""Connects past silent hosts of a URL.

libpq tries the hosts of a URL from the first one on, and waits `connect_timeout` for each one
whose address is gone. While a cluster fails over, we try again and again until a standby is
promoted: a dead host would stretch each attempt, and delay the one that succeeds, by seconds.

So after a long attempt a process checks which hosts are silent, and leaves them out for a
while: it tries them only if all other hosts fail, and only those that show a sign of life. The
order of the other hosts and their choice (`target_session_attrs`, `load_balance_hosts`) remain
libpq's business.
"""

import contextlib
import socket
from collections.abc import Callable
from typing import Any

from jobsd.clock import monotonic

Parameters = dict[str, Any]

LONG_S = 1.0
"""An attempt of this duration has probably waited for a silent host."""
SIGN_S = 0.25
"""Time in which a host must accept or refuse a connection; a host that is merely far away, or
loses packets, is checked again by the next attempt."""
SILENT_S = 30.0
"""Time for which a silent host is left out."""

_LISTS = ("host", "hostaddr", "port")
_PORT = "5432"

_silent: dict[str, float] = {}
"""When a host was found silent, for all connections of this process."""


def are_several(parameters: Parameters) -> bool:
    """Return whether the parameters name several hosts."""
    return any("," in str(parameters.get(each) or "") for each in _LISTS[:2])


def heard(parameters: Parameters) -> Parameters:
    """Return the parameters with only the hosts that are not silent; with all if all are."""
    return _with(parameters, lambda place: not _is_known_silent(place)) or parameters


def awake(parameters: Parameters) -> Parameters | None:
    """Return the parameters with only the silent hosts that show a sign of life again.

    It waits `SIGN_S` for each host that does not. A host that is too far away for it is tried
    like the others again after `SILENT_S`, however often it was checked meanwhile.
    """
    return _with(parameters, lambda place: _is_known_silent(place) and not _is_silent(place))


def note(parameters: Parameters, took_s: float) -> None:
    """Find the silent hosts, after an attempt at all hosts of the parameters."""
    if took_s >= LONG_S:
        for place in places(parameters):
            if _is_silent(place):
                _silent[str(place)] = monotonic()


def _with(parameters: Parameters, has: Callable[[Parameters], bool]) -> Parameters | None:
    """Return the parameters with only the hosts for which `has` is true."""
    chosen = [place for place in places(parameters) if has(place)]
    if not chosen:
        return None
    lists = {key: ",".join(place[key] for place in chosen) for key in chosen[0]}
    return {**parameters, **lists}


def places(parameters: Parameters) -> list[Parameters]:
    """Return the hosts one by one; none if libpq would refuse the lists."""
    lists = {key: str(parameters[key]).split(",") for key in _LISTS if parameters.get(key)}
    count = max(map(len, lists.values()), default=0)
    if len(lists.get("port", ())) == 1:
        lists["port"] *= count
    if any(len(each) != count for each in lists.values()):
        return []
    return [dict(zip(lists, place, strict=True)) for place in zip(*lists.values(), strict=True)]


def _is_known_silent(place: Parameters) -> bool:
    return monotonic() - _silent.get(str(place), float("-inf")) < SILENT_S


def _is_silent(place: Parameters) -> bool:
    """Return whether a host neither accepts nor refuses a connection.

    The host's kernel answers, so a server that is merely busy is not silent.
    """
    host = place.get("hostaddr") or place.get("host") or ""
    if not host or host.startswith(("/", "@")):
        return False
    with contextlib.suppress(OSError, ValueError):
        try:
            socket.create_connection((host, int(place.get("port") or _PORT)), SIGN_S).close()
        except TimeoutError:
            return True
    return False
