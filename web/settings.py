"""The settings of one dashboard."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from jobsd.configuration.users import User
from jobsd.database.connection import Target

Environ = dict[str, Any]
Authorize = Callable[[Environ], str | tuple[str, str] | None]

LIVE = ("poll", "sse")
LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The database of the queue, the users, and the restrictions on the pages.

    `open_role` is the role of every visitor if there are no users: only on loopback. `hosts`
    are the host names that requests may have; None: the program that mounts us checks them.
    `path` is the path below which we serve ourselves. `trusted_header` names the user, when a
    proxy of `trusted_proxies` sends it. `live` is "sse" if streams report changes to pages, or
    "poll" if pages ask now and then. `described` gives the settings of the project, as
    `configuration.listed` has them.
    """

    target: Callable[[], Target]
    path: str = ""
    environment: str = "development"
    users: tuple[User, ...] = ()
    authorize: Authorize | None = None
    open_role: str | None = None
    hosts: frozenset[str] | None = None
    trusted_header: str | None = None
    trusted_proxies: tuple[str, ...] = ()
    read_only: bool = False
    live: str = "poll"
    alive_threshold_s: float = 60.0
    latency_targets_s: Mapping[str, float] | None = None
    time_zone: str = "UTC"
    filter_arguments: tuple[str, ...] = ()
    keep_finished: bool = True
    described: Callable[[], Iterable[dict[str, Any]]] = tuple
