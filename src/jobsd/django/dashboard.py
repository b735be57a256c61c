"""The dashboard as a Django view: its WSGI application, with Django's user."""

from __future__ import annotations

import io
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

from jobsd.web import create_app

from . import queue

if TYPE_CHECKING:
    from jobsd.web.application import Application

csrf: Any = import_module("django.views.decorators.csrf")
http: Any = import_module("django.http")
transaction: Any = import_module("django.db.transaction")
urls: Any = import_module("django.urls")

_ROLE = "jobsd.role"


def dashboard(request: Any, below: str) -> Any:  # noqa: ANN401 - Django's
    """Answer a request of staff; redirect all others to the login."""
    user = request.user
    if not user.is_authenticated:
        login = import_module("django.contrib.auth.views").redirect_to_login
        return login(request.get_full_path(), _login_url())
    if not (user.is_active and user.is_staff):
        return http.HttpResponseForbidden("The dashboard of jobs is for staff.")
    got: list[Any] = []

    def start_response(status: str, headers: list[tuple[str, str]]) -> None:
        got.extend((int(status.split(maxsplit=1)[0]), dict(headers)))

    body = b"".join(_application()(_environ(request, below), start_response))
    return http.HttpResponse(body, status=got[0], headers=got[1])


# The dashboard itself accepts changes from its own pages only, and writes over connections of
# its own.
dashboard = csrf.csrf_exempt(transaction.non_atomic_requests(dashboard))


@cache
def _application() -> Application:
    return create_app(authorize=lambda environ: environ[_ROLE], target=queue.target())


def _role(user: Any) -> str:  # noqa: ANN401
    if user.has_perm("jobsd.administer_dashboard"):
        return "admin"
    return "operator" if user.has_perm("jobsd.operate_dashboard") else "viewer"


def _environ(request: Any, below: str) -> dict[str, Any]:  # noqa: ANN401
    """Return the request's WSGI environment, under Django's ASGI handler too."""
    prefix = request.path.removesuffix(below).rstrip("/")
    meta = {name: value for name, value in request.META.items() if isinstance(value, str)}
    return {
        **meta,
        "SCRIPT_NAME": prefix.encode().decode("latin-1"),
        "PATH_INFO": f"/{below}".encode().decode("latin-1"),
        "HTTP_HOST": request.get_host(),
        "REMOTE_USER": user if (user := request.user.get_username()) else "someone",
        "CONTENT_LENGTH": str(len(request.body)),
        "wsgi.url_scheme": request.scheme,
        "wsgi.input": io.BytesIO(request.body),
        _ROLE: _role(request.user),
    }


def _login_url() -> str | None:
    """Return the login of the admin, if there is one; None: that of the settings."""
    try:
        return str(urls.reverse("admin:login"))
    except urls.NoReverseMatch:
        return None
