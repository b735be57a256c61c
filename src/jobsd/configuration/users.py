"""The users of the dashboard: `web.users` of queue.yml, and one of the environment."""

from collections.abc import Mapping as Environ
from dataclasses import dataclass, field

from .faults import Mistake, Mistakes, did_you_mean
from .kinds import Kind
from .source import Mapping, Node, Scalar, is_null

ROLES = ("viewer", "operator", "admin")
"""Each includes the ones before it."""
_KEYS = ("password", "token", "role")


@dataclass(frozen=True, slots=True)
class User:
    """A user: a name with a password, or a program with a token, and a role."""

    name: str
    role: str
    password: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)

    def __str__(self) -> str:
        return f"{self.name} ({self.role})"


def _read(node: Node) -> tuple[User, ...]:
    if is_null(node) or (isinstance(node, Scalar) and node.text.strip() == "{}"):
        return ()
    if not isinstance(node, Mapping):
        raise Mistake("must be a mapping of names", "write NAME: {password: …, role: viewer}")
    found: list[User] = []
    mistakes: list[tuple[Node, str, Mistake]] = []
    for name, pair in node.pairs.items():
        try:
            found.append(_user(name, pair.value))
        except Mistake as mistake:
            mistakes.append((pair.value, f".{name}", mistake))
    if mistakes:
        raise Mistakes(mistakes)
    return tuple(found)


def _user(name: str, node: Node) -> User:
    if not isinstance(node, Mapping) or ":" in name:
        hint = "write NAME: {password: …, token: …, role: viewer}; a name has no colon"
        raise Mistake("must be a mapping", hint, quotes_value=False)
    given: dict[str, str] = {}
    for key, pair in node.pairs.items():
        if key not in _KEYS:
            raise Mistake(
                f"has an unknown key {key!r}", did_you_mean(key, _KEYS), quotes_value=False
            )
        if not isinstance(pair.value, Scalar) or not pair.value.text.strip():
            raise Mistake(f"has no {key}", "write a text that is not empty", quotes_value=False)
        given[key] = pair.value.text.strip() if pair.value.plain else pair.value.text
    role = given.get("role", "viewer")
    if role not in ROLES:
        raise Mistake(
            f"has an unknown role; expected one of {', '.join(ROLES)}", quotes_value=False
        )
    if not given.keys() & {"password", "token"}:
        raise Mistake("has neither a password nor a token", quotes_value=False)
    return User(name, role, given.get("password"), given.get("token"))


USERS = Kind(_read, "names with a password or a token, and a role: viewer, operator or admin")


def users_of(configured: tuple[User, ...], environ: Environ[str, str]) -> tuple[User, ...]:
    """Return the users: those of the file, and one admin of the variables, if they name one."""
    name = environ.get("JOBSD_WEB_USER", "").strip() or "admin"
    password = environ.get("JOBSD_WEB_PASSWORD") or None
    token = environ.get("JOBSD_WEB_TOKEN", "").strip() or None
    if password is None and token is None:
        return configured
    return (*configured, User(name, "admin", password, token))
