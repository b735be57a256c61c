"""The page for each address, and the request that a page reads from."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from importlib import import_module
from typing import Any

from jobsd.database.connection import Session
from jobsd.operations.shown_arguments import ShownArguments

from .guard import SAFE, Visitor
from .http import RefusedRequest, Request
from .settings import Settings


@dataclass(frozen=True, slots=True)
class Asked:
    """A request with an authorized visitor, and a session in a transaction for it."""

    session: Session
    request: Request
    visitor: Visitor
    settings: Settings
    shown: ShownArguments
    names: dict[str, str]
    """The named parts of the path."""

    def may(self, role: str) -> bool:
        """Return whether the visitor has a role, in this dashboard."""
        return self.visitor.may(role) and not self.settings.read_only

    @property
    def threshold_s(self) -> float:
        """The age from which a heartbeat is overdue."""
        return self.settings.alive_threshold_s


@dataclass(frozen=True, slots=True)
class Found:
    """The facts of a page: `data` as `--json` of a command has it, and `more` for HTML only."""

    data: Any
    more: dict[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class Route:
    """A page: its path, its template, and the function that reads its facts."""

    pattern: re.Pattern[str]
    template: str
    read: Callable[[Asked], Found]


_PAGES = (
    "bulk",
    "preview_page",
    "pages",
    "limit_page",
    "named_pages",
    "history_page",
    "system_page",
)
ROUTES: list[Route] = []
"""All pages, once the modules that define them are imported (see `find`)."""


def route(
    path: str, template: str
) -> Callable[[Callable[[Asked], Found]], Callable[[Asked], Found]]:
    """Make a function the reader of a page; `<name>` in its path stands for any text."""
    pattern = re.compile(re.sub(r"<(\w+)>", r"(?P<\1>.+)", path))

    def add(read: Callable[[Asked], Found]) -> Callable[[Asked], Found]:
        ROUTES.append(Route(pattern, template, read))
        # A literal path comes before one with a name, in any order of imports.
        ROUTES.sort(key=lambda each: each.pattern.groups)
        return read

    return add


def find(method: str, path: str) -> tuple[Route, dict[str, str]]:
    """Return the page of a path, and the names in the path.

    Raises:
        RefusedRequest: when there is no page, or not for this method.
    """
    for module in _PAGES:  # their functions are the routes
        import_module(f"jobsd.web.{module}")
    path = path.removeprefix("/api/v1") or "/"
    path = path.rstrip("/") or "/"
    for each in ROUTES:
        if found := each.pattern.fullmatch(path):
            if method not in SAFE:
                status = HTTPStatus.METHOD_NOT_ALLOWED
                raise RefusedRequest(
                    status, "This page can only be read.", ("Allow", "GET, HEAD")
                )
            return each, found.groupdict()
    raise RefusedRequest(HTTPStatus.NOT_FOUND, "There is no such page.")
