"""The dashboard: a WSGI application, a process of the tree that serves it, and a command.

`app` is the application of the project in the working folder; `create_app` makes one for a
program that mounts it. Nothing else of jobsd imports this room, and it needs the extra `web`.
"""

from collections.abc import Iterable
from typing import Any

from .application import Application
from .settings import Authorize

__all__ = ["app", "create_app"]


def create_app(authorize: Authorize | None = None, **settings: Any) -> Application:  # noqa: ANN401
    """Return the dashboard as a WSGI application for a program that mounts it.

    `authorize` gets the WSGI environment of each request and returns "viewer", "operator",
    "admin", or None to refuse it; or a role and a name for the audit. Without it the users of
    the configuration (`web.users`) log in. Database, users and the rest come from the project
    in the working folder, unless `settings` has them: `target`, `users`, `hosts`, `read_only`.
    With `live="sse"` a stream reports changes to each open page, and keeps one of your server's
    workers for it; by default pages poll.

    Raises:
        ConfigurationError: with the faults of the configuration.
        ValueError: when `live` is neither "poll" nor "sse".
    """
    from .mounting import mounted  # noqa: PLC0415 - importing this room needs no Jinja2

    return mounted(authorize, **settings)


_made: list[Application] = []


def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:  # noqa: ANN401
    """Answer one request as the dashboard of the project in the working folder."""
    if not _made:
        _made.append(create_app())
    return _made[0](environ, start_response)
