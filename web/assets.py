"""The files that a page loads: each has its hash in its name, so that browsers keep it."""

import hashlib
from functools import cache
from http import HTTPStatus
from importlib.resources import files

from .http import Answer, RefusedRequest

_TYPES = {
    "style.css": "text/css; charset=utf-8",
    "live.js": "text/javascript; charset=utf-8",
    "hx-sse.min.js": "text/javascript; charset=utf-8",
    "htmx.min.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}


def path_of(name: str) -> str:
    """Return the path of a file below the prefix."""
    return f"/assets/{_hash(name)}/{name}"


def answer(path: str) -> Answer:
    """Return a file.

    Raises:
        RefusedRequest: when no file has this name and hash.
    """
    given, _, name = path.partition("/")
    if name not in _TYPES or given != _hash(name):
        raise RefusedRequest(HTTPStatus.NOT_FOUND, "There is no such file.")
    kept = (("Cache-Control", "public, max-age=31536000, immutable"),)
    return Answer(_read(name), _TYPES[name], headers=kept)


@cache
def _read(name: str) -> bytes:
    return (files("jobsd.web") / "assets" / name).read_bytes()


@cache
def _hash(name: str) -> str:
    return hashlib.sha256(_read(name)).hexdigest()[:16]
