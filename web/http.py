"""A request as pages see it, an answer, and the headers that every answer has."""

import gzip
import hashlib
import json
import re
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl, quote

from . import settings, streams

HTML = "text/html; charset=utf-8"
JSON = "application/json"
QUERY_MAX = 4_000
FIELDS_MAX = 60
BODY_MAX = 65_536
PACKED_MIN = 1_000
"""The size of a body from which it is compressed: a smaller one fits into a packet anyway."""

_AGES = re.compile(rb' data-now="[^"]*"|(?<=>)[^<]*(?=</time>)')
"""What changes in a page as time goes by; the moments themselves are in attributes."""
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self';"
    " connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
SAFETY = (
    ("Content-Security-Policy", _POLICY),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "same-origin"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
)
"""No inline code runs, no other site frames us, and none gets our addresses."""


class RefusedRequest(Exception):  # noqa: N818 - it is an answer
    """A request that is refused: its status, a sentence for people, more headers."""

    def __init__(self, status: HTTPStatus, sentence: str, *headers: tuple[str, str]) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence
        self.headers = headers


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a request."""

    body: bytes
    content_type: str = HTML
    status: HTTPStatus = HTTPStatus.OK
    headers: tuple[tuple[str, str], ...] = (("Cache-Control", "private, no-store"),)
    stream: streams.Stream | None = None
    """The stream that follows the answer."""

    def all_headers(self) -> list[tuple[str, str]]:
        """Return all headers; none of them can contain the end of a line."""
        length = [] if self.stream else [("Content-Length", str(len(self.body)))]
        own = [("Content-Type", self.content_type), *length, *self.headers]
        return [(name, value.replace("\r", "").replace("\n", "")) for name, value in own] + [
            *SAFETY
        ]


@dataclass(frozen=True, slots=True)
class Request:
    """A browser's request: a path below our prefix, and fields of query and body."""

    method: str
    prefix: str
    path: str
    query: dict[str, str]
    environ: settings.Environ = field(repr=False)

    @property
    def is_api(self) -> bool:
        """Whether a program sends the request."""
        return self.path.startswith("/api/")

    def form(self) -> dict[str, str]:
        """Return the fields of the body.

        Raises:
            RefusedRequest: when it is too long.
        """
        text = str(self.environ.get("CONTENT_LENGTH") or "0")
        length = int(text) if text.isascii() and text.isdigit() else 0
        if length > BODY_MAX:
            status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
            raise RefusedRequest(status, f"A body has at most {BODY_MAX:,} bytes.")
        body: bytes = self.environ["wsgi.input"].read(length) if length else b""
        return _fields(body.decode(errors="replace"))


def read_request(environ: settings.Environ) -> Request:
    """Return the request of a WSGI environment.

    Raises:
        RefusedRequest: for a malformed request, which no browser sends from our pages.
    """
    path = str(environ.get("PATH_INFO") or "/").encode("latin-1").decode(errors="replace")
    query = str(environ.get("QUERY_STRING") or "")
    if len(query) > QUERY_MAX or len(path) > QUERY_MAX:
        status = HTTPStatus.REQUEST_URI_TOO_LONG
        raise RefusedRequest(status, f"An address has at most {QUERY_MAX:,} characters here.")
    if "\0" in path or "�" in path:
        raise RefusedRequest(HTTPStatus.BAD_REQUEST, "The path is not UTF-8 text.")
    prefix = quote(str(environ.get("SCRIPT_NAME") or "").rstrip("/").encode("latin-1"))
    return Request(
        str(environ.get("REQUEST_METHOD", "GET")), prefix, path, _fields(query), environ
    )


def redirect(location: str) -> Answer:
    """Return an answer that redirects a browser, with GET."""
    return Answer(
        b"", status=HTTPStatus.SEE_OTHER, headers=(("Location", location), *_NEVER_STORED)
    )


def tagged(answer: Answer, environ: settings.Environ) -> Answer:
    """Return an answer with an ETag, without its body if the client has one with the same.

    The page counts its ages on by itself, so the tag is that of the data and the visitor.
    """
    data = _AGES.sub(b"", answer.body) if answer.content_type == HTML else answer.body
    tag = f'W/"{hashlib.sha256(data).hexdigest()[:32]}"'
    headers = (*answer.headers, ("ETag", tag))
    if tag in str(environ.get("HTTP_IF_NONE_MATCH") or "").split(", "):
        return replace(answer, body=b"", status=HTTPStatus.NOT_MODIFIED, headers=headers)
    return replace(answer, headers=headers)


def packed(answer: Answer, environ: settings.Environ) -> Answer:
    """Return an answer compressed by gzip, if its client accepts that."""
    if answer.stream is not None or len(answer.body) < PACKED_MIN:
        return answer
    headers = (*answer.headers, ("Vary", "Accept-Encoding"))
    if not _accepts_gzip(str(environ.get("HTTP_ACCEPT_ENCODING") or "")):
        return replace(answer, headers=headers)
    body = gzip.compress(answer.body, 5, mtime=0)
    return replace(answer, body=body, headers=(*headers, ("Content-Encoding", "gzip")))


def _accepts_gzip(accepted: str) -> bool:
    for part in accepted.lower().replace(" ", "").split(","):
        name, _, weight = part.partition(";q=")
        if name == "gzip":
            return not weight or weight.strip("0.") != ""
    return False


_NEVER_STORED = (("Cache-Control", "private, no-store"),)


def json_answer(document: Any, status: HTTPStatus = HTTPStatus.OK) -> Answer:  # noqa: ANN401
    """Return an answer for a program."""
    from jobsd.operations.words import as_json  # noqa: PLC0415 - pages do without

    text = json.dumps(document, default=as_json, ensure_ascii=False)
    return Answer(f"{text}\n".encode(), JSON, status)


def _fields(text: str) -> dict[str, str]:
    try:
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=FIELDS_MAX)
    except ValueError:
        status = HTTPStatus.BAD_REQUEST
        raise RefusedRequest(status, f"There are at most {FIELDS_MAX} fields.") from None
    return {name: value.replace("\0", "") for name, value in pairs}
