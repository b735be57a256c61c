"""Authentication and authorization of the dashboard's requests.

In this order: the Host header must be one of ours, since another site may have pointed a name
of its own at this machine (DNS rebinding). Then the visitor is identified by bearer token,
basic authentication, a proxy's header, or the program that mounts the dashboard. A request
that changes something must come from a page of ours, which browsers state themselves
(Sec-Fetch-Site, Origin), or have a token.
"""

import base64
import binascii
import hmac
import ipaddress
from dataclasses import dataclass
from http import HTTPStatus

from jobsd.configuration.users import ROLES

from .http import RefusedRequest
from .logins import Logins
from .settings import Environ, Settings

SAFE = frozenset({"GET", "HEAD"})
OWN = "same-origin"
"""The value that browsers send for a request from our own page."""
_REALM = ("WWW-Authenticate", 'Basic realm="jobsd", charset="UTF-8"')
_NOBODY = (
    "No one has access yet: give `authorize` to create_app, or set `web.users` in queue.yml"
    " (or set JOBSD_WEB_USER and JOBSD_WEB_PASSWORD, or JOBSD_WEB_TOKEN)."
)


@dataclass(frozen=True, slots=True)
class Visitor:
    """The user of a request; `by_token` means that it is a program."""

    name: str
    role: str
    by_token: bool = False

    def may(self, role: str) -> bool:
        """Return whether the visitor's role includes another."""
        return ROLES.index(self.role) >= ROLES.index(role)


def require_host(environ: Environ, settings: Settings) -> None:
    """Return if the request names one of our hosts.

    Raises:
        RefusedRequest: when it names another host.
    """
    given = str(environ.get("HTTP_HOST") or "")
    host = given[: given.rfind(":")] if given.rpartition(":")[2].isdigit() else given
    if settings.hosts is not None and host.lower() not in settings.hosts:
        sentence = (
            "The dashboard does not know this host name: add it to `web.hosts` in queue.yml."
        )
        raise RefusedRequest(HTTPStatus.MISDIRECTED_REQUEST, sentence)


def visitor_of(environ: Environ, settings: Settings, logins: Logins) -> Visitor:
    """Return the visitor of a request.

    Raises:
        RefusedRequest: when the visitor is not known, or must pause after failed log-ins.
    """
    found = _authorized(environ, settings) or _user(environ, settings, logins)
    if found is None and settings.open_role is not None:
        found = Visitor("local", settings.open_role)
    if found is not None:
        return found
    if settings.authorize is not None:
        raise RefusedRequest(HTTPStatus.FORBIDDEN, "You may not see this dashboard.")
    if not settings.users:
        raise RefusedRequest(HTTPStatus.FORBIDDEN, _NOBODY)
    raise RefusedRequest(HTTPStatus.UNAUTHORIZED, "Log in to see this dashboard.", _REALM)


def require_may(visitor: Visitor, role: str, settings: Settings) -> None:
    """Return if the visitor has a role.

    Raises:
        RefusedRequest: when the visitor lacks it.
    """
    if settings.read_only:
        raise RefusedRequest(
            HTTPStatus.FORBIDDEN, "This dashboard is read-only (web.read_only)."
        )
    if not visitor.may(role):
        sentence = f"This needs the role {role}; yours is {visitor.role}."
        raise RefusedRequest(HTTPStatus.FORBIDDEN, sentence)


def require_own_page(environ: Environ, visitor: Visitor) -> None:
    """Return if a request for a change comes from a page of ours, or has a token.

    Raises:
        RefusedRequest: when another site may have sent the visitor's browser.
    """
    site = environ.get("HTTP_SEC_FETCH_SITE")
    if visitor.by_token or site == OWN:
        return
    origin = str(environ.get("HTTP_ORIGIN") or "")
    own = f"{environ.get('wsgi.url_scheme')}://{environ.get('HTTP_HOST')}"
    if site is None and origin and hmac.compare_digest(origin.encode(), own.encode()):
        return
    sentence = "A change must come from a page of this dashboard, or with a bearer token."
    raise RefusedRequest(HTTPStatus.FORBIDDEN, sentence)


def _authorized(environ: Environ, settings: Settings) -> Visitor | None:
    """Return the visitor that the program's `authorize` function identifies."""
    found = None if settings.authorize is None else settings.authorize(environ)
    if found is None:
        return None
    role, name = found if isinstance(found, tuple) else (found, "")
    if role not in ROLES:
        raise ValueError(
            f"authorize returned {role!r}; expected one of {', '.join(ROLES)}, None"
        )
    return Visitor(str(name or environ.get("REMOTE_USER") or "someone"), role)


def _user(environ: Environ, settings: Settings, logins: Logins) -> Visitor | None:
    scheme, _, given = str(environ.get("HTTP_AUTHORIZATION") or "").partition(" ")
    if scheme.lower() == "bearer":
        for user in settings.users:
            if user.token and _same(given.strip(), user.token):
                return Visitor(user.name, user.role, by_token=True)
        return None
    if scheme.lower() == "basic":
        name, password = _basic(given)
        address = str(environ.get("REMOTE_ADDR") or "")
        logins.require_no_pause(name, password, address)
        for user in settings.users:
            if user.password and _same(name, user.name) & _same(password, user.password):
                logins.succeeded(name, password, address)
                return Visitor(user.name, user.role)
        logins.failed(name, address)
        return None
    return _proxied(environ, settings)


def _proxied(environ: Environ, settings: Settings) -> Visitor | None:
    """Return the user that a trusted proxy names; an unconfigured name is a viewer."""
    if settings.trusted_header is None or not _is_trusted(environ, settings):
        return None
    header = settings.trusted_header.upper().replace("-", "_")
    name = str(environ.get(f"HTTP_{header}") or "").strip()
    roles = {user.name: user.role for user in settings.users}
    return Visitor(name, roles.get(name, "viewer")) if name else None


def _is_trusted(environ: Environ, settings: Settings) -> bool:
    try:
        address = ipaddress.ip_address(str(environ.get("REMOTE_ADDR") or ""))
    except ValueError:
        return False
    return any(
        address in ipaddress.ip_network(each, strict=False) for each in settings.trusted_proxies
    )


def _basic(given: str) -> tuple[str, str]:
    try:
        text = base64.b64decode(given, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return "", ""
    name, _, password = text.partition(":")
    return name, password


def _same(given: str, wanted: str) -> bool:
    """Compare in constant time, so that the time does not reveal a correct prefix."""
    return hmac.compare_digest(given.encode(), wanted.encode())
