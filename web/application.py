"""The WSGI application: guard, then route, then read, then render.

A function of `pages` reads each page, and the template of the route's name renders it; below
/api/v1 the same facts are answered as JSON. Every error becomes an answer here.
"""

from collections.abc import Iterable
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import psycopg
from psycopg.errors import QueryCanceled

from jobsd import clock, errors
from jobsd.database.connection import OUTAGES
from jobsd.events.events import emit
from jobsd.operations.shown_arguments import ShownArguments, published_names

from . import acts, assets, streams
from .guard import OWN, SAFE, Visitor, require_host, require_may, require_own_page, visitor_of
from .http import (
    Answer,
    RefusedRequest,
    Request,
    json_answer,
    packed,
    read_request,
    redirect,
    tagged,
)
from .logins import Logins
from .reading import PAGE_S, Connections, Watching
from .rendering import render
from .routes import Asked, find
from .settings import Environ, Settings
from .streams import Stream

_AWAY = "The database can't be reached now."
_SLOW = f"The database took longer than {PAGE_S} s for this page."
_NARROW = "Narrow what you search for."


class Application:
    """One dashboard; safe for any number of threads, and in each process of a fork."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._connections = Connections(settings.target)
        self.watching = Watching(settings.target)
        self._logins = Logins()

    def __call__(self, environ: Environ, start_response: Any) -> Iterable[bytes]:  # noqa: ANN401
        """Answer one request."""
        answer = packed(self._answer(environ), environ)
        status = f"{answer.status.value} {answer.status.phrase}"
        start_response(status, answer.all_headers())
        if answer.stream is not None:
            return _sent(answer.stream, environ)
        return [] if environ.get("REQUEST_METHOD") == "HEAD" else [answer.body]

    def close(self) -> None:
        """End the streams, and close the idle connections."""
        self.watching.close()
        self._connections.close()

    def _answer(self, environ: Environ) -> Answer:
        request: Request | None = None
        try:
            request = read_request(_below(environ, self.settings.path))
            return self._respond(request)
        except RefusedRequest as refused:
            return self._failed(request, refused.status, refused.sentence, refused.headers)
        except errors.NotFoundError as fault:
            return self._failed(request, HTTPStatus.NOT_FOUND, _sentence(fault))
        except (errors.RefusedError, errors.UnknownJobError) as fault:
            return self._failed(request, HTTPStatus.CONFLICT, _sentence(fault))
        except QueryCanceled:
            sought = request is not None and request.query.get("q")
            sentence = f"{_SLOW} {_NARROW}" if sought else _SLOW
            return self._failed(request, HTTPStatus.SERVICE_UNAVAILABLE, sentence)
        except (*OUTAGES, errors.DatabaseUnreachableError) as fault:
            notes: list[str] = getattr(fault, "__notes__", [])
            away = " ".join((_AWAY, *map(_sentence, notes)))
            return self._failed(request, HTTPStatus.SERVICE_UNAVAILABLE, away)
        except Exception as error:  # noqa: BLE001 - this is where all errors of pages end
            if isinstance(error, errors.Error) and not isinstance(error, errors.SchemaError):
                return self._failed(request, HTTPStatus.BAD_REQUEST, _sentence(error))
            if not isinstance(error, errors.Error | psycopg.Error):
                emit("web.failed", path=request.path if request else "", error=error)
            reported = (
                _sentence(error) if isinstance(error, errors.Error) else "Something went wrong."
            )
            return self._failed(request, HTTPStatus.INTERNAL_SERVER_ERROR, reported)

    def _respond(self, request: Request) -> Answer:
        require_host(request.environ, self.settings)
        if request.path.startswith("/assets/"):
            return assets.answer(request.path.removeprefix("/assets/"))
        visitor = visitor_of(request.environ, self.settings, self._logins)
        if request.method not in SAFE:
            require_own_page(request.environ, visitor)
            return self._act(request, visitor)
        if request.path == "/live" and request.method == "GET":
            return self._watched()
        route, names = find(request.method, request.path)
        with self._connections.reading() as session:
            # The project's modules are not imported here.
            shown = ShownArguments(self.settings.filter_arguments, published_names(session))
            asked = Asked(session, request, visitor, self.settings, shown, names)
            found = route.read(asked)
            if request.is_api:
                return tagged(json_answer(found.data), request.environ)
            page = self._page(asked, route.template, found.data, found.more)
            return tagged(page, request.environ)

    def _watched(self) -> Answer:
        """Return a stream of changes.

        Raises:
            RefusedRequest: when this dashboard has no streams, or all are taken.
        """
        if self.settings.live != "sse":
            sentence = "Pages of this dashboard poll; streams need live='sse'."
            raise RefusedRequest(HTTPStatus.NOT_FOUND, sentence)
        stream = self.watching.enter()
        return Answer(b"", streams.CONTENT_TYPE, headers=streams.HEADERS, stream=stream)

    def _act(self, request: Request, visitor: Visitor) -> Answer:
        """Perform an act, and redirect the visitor to a page with its result."""
        found = acts.find(request.path) if request.method == "POST" else None
        if found is None:
            find(request.method, request.path)
            raise RefusedRequest(HTTPStatus.METHOD_NOT_ALLOWED, "There is no such act.")
        act, names = found
        require_may(visitor, act.role, self.settings)
        with self._connections.session() as session:
            acting = acts.Acting(session, visitor, self.settings, names, request.form())
            done = acts.perform(act, acting)
        if request.is_api:
            return json_answer(done.facts)
        more = "&" if "?" in done.page else "?"
        return redirect(f"{request.prefix}{done.page}{more}done={quote(done.sentence)}")

    def _page(self, asked: Asked, template: str, data: Any, more: dict[str, Any]) -> Answer:  # noqa: ANN401
        facts = {**self._facts(asked.request), "visitor": asked.visitor, **more}
        facts["may"] = asked.may
        return Answer(render(f"{template}.html", page=template, data=data, **facts))

    def _facts(self, request: Request | None) -> dict[str, Any]:
        prefix = request.prefix if request else ""
        return {
            "prefix": prefix,
            "here": f"{prefix}{request.path}" if request else prefix,
            "query": request.query if request else {},
            "done_here": _done(request),
            "environment": self.settings.environment,
            "rendered_at": clock.utc_now().isoformat(),
            "read_only": self.settings.read_only,
            "streams": self.settings.live == "sse",
            "may": _nobody_may,
        }

    def _failed(
        self,
        request: Request | None,
        status: HTTPStatus,
        sentence: str,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> Answer:
        never_stored = (("Cache-Control", "no-store"), *headers)
        if request is not None and request.is_api:
            answer = json_answer({"error": sentence}, status)
            return Answer(answer.body, answer.content_type, status, never_stored)
        nobody: Visitor | None = None
        facts = {**self._facts(request), "visitor": nobody, "page": "error"}
        if status == HTTPStatus.SERVICE_UNAVAILABLE and request and request.method in SAFE:
            # This passes: the page that was asked for replaces it.
            facts["live"] = "jobs"
        body = render("error.html", status=status, sentence=sentence, **facts)
        return Answer(body, status=status, headers=never_stored)


def _sent(stream: Stream, environ: Environ) -> Iterable[bytes]:
    """Return the first bytes of a stream; our own server then writes the rest of it."""
    if "jobsd.stream" not in environ:
        return stream
    environ["jobsd.stream"] = stream
    return streams.beginning()


def _below(environ: Environ, path: str) -> Environ:
    """Return the request relative to the path where we are served.

    Raises:
        RefusedRequest: when it is for another path.
    """
    asked = str(environ.get("PATH_INFO") or "/")
    if not path:
        return environ
    if asked != path and not asked.startswith(f"{path}/"):
        raise RefusedRequest(HTTPStatus.NOT_FOUND, f"The dashboard is at {path}/.")
    return {**environ, "SCRIPT_NAME": path, "PATH_INFO": asked.removeprefix(path) or "/"}


def _done(request: Request | None) -> str:
    """Return the result of an act to show, if an act has redirected here, and no other site.

    Over plain HTTP, browsers send no Sec-Fetch-Site to another host. Then the Referer must be a
    page of ours.
    """
    if request is None:
        return ""
    environ = request.environ
    own = f"{environ.get('wsgi.url_scheme')}://{environ.get('HTTP_HOST')}/"
    site = environ.get("HTTP_SEC_FETCH_SITE")
    if site != OWN and (site or not str(environ.get("HTTP_REFERER") or "").startswith(own)):
        return ""
    return request.query.get("done", "")


def _nobody_may(_role: str) -> bool:
    """Refuse everything on a page without a visitor."""
    return False


def _sentence(fault: BaseException | str) -> str:
    text = str(fault)
    return f"{text[:1].upper()}{text[1:]}".rstrip(".") + "."
