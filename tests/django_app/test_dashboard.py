"""The dashboard in a real project of Django, for staff."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import pytest

from django_app.project import WITH_SIX, DjangoProject, database

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.system

URLS = """
from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("admin/jobs/", include("jobsd.django.urls")),
    path("admin/", admin.site.urls),
]
"""
SETTINGS = """
DATABASES["default"]["ATOMIC_REQUESTS"] = True
ROOT_URLCONF = "urls"
ALLOWED_HOSTS = ["testserver"]
INSTALLED_APPS += ["django.contrib.admin", "django.contrib.sessions", "django.contrib.messages"]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
TEMPLATES = [{
    "BACKEND": "django.template.backends.django.DjangoTemplates",
    "APP_DIRS": True,
    "OPTIONS": {"context_processors": [
        "django.template.context_processors.request",
        "django.contrib.auth.context_processors.auth",
        "django.contrib.messages.context_processors.messages",
    ]},
}]
"""
VISIT = """
import asyncio, json, re
from django.contrib.auth.models import Permission, User
from django.test import AsyncClient, Client
from django.urls import resolve
from shop.jobs import count

job_id = count.enqueue().id
boss = User.objects.create_superuser("boss")
looks = User.objects.create_user("looks", is_staff=True)
acts = User.objects.create_user("acts", is_staff=True)
acts.user_permissions.add(Permission.objects.get(codename="operate_dashboard"))
other = User.objects.create_user("other")
left = User.objects.create_user("left", is_staff=True)

def of_who_left():
    # As with a backend that lets inactive users in.
    from django.test import RequestFactory
    from jobsd.django.dashboard import dashboard

    request = RequestFactory().get("/admin/jobs/")
    request.user, left.is_active = left, False
    return dashboard(request, "").status_code

def client(user, kind=Client):
    made = kind(enforce_csrf_checks=True)
    if user:
        made.force_login(user)
    return made

one = f"/admin/jobs/jobs/{job_id}"

def discard(user, site="same-origin"):
    return client(user).post(f"{one}/discard", headers={"Sec-Fetch-Site": site})

def clear(user):
    path, form = "/admin/jobs/queues/default/clear", "application/x-www-form-urlencoded"
    headers = {"Sec-Fetch-Site": "same-origin"}
    return client(user).post(path, "confirm=default", content_type=form, headers=headers)

pages = [client(looks).get(path) for path in ("/admin/jobs/", "/admin/jobs/jobs", one)]
linked = re.compile(r'(?:href|src|action)="([^"]+)"')
links = {link for page in pages for link in linked.findall(page.content.decode())}
style = next(link for link in links if link.endswith("style.css"))
soon = client(None, AsyncClient)
soon.force_login(looks)
seen = {
    "pages": [page.status_code for page in pages],
    "astray": sorted(link for link in links if not link.startswith(("/admin/jobs", "#"))),
    "style": client(looks).get(style).status_code,
    "nobody": client(None).get(one).headers["Location"],
    "other": client(other).get(one).status_code,
    "left": of_who_left(),
    "checks": discard(looks).status_code,
    "cross": discard(acts, "cross-site").status_code,
    "admin only": clear(acts).status_code,
    "acts": discard(acts).headers["Location"],
    "boss": clear(boss).status_code,
    "audit": client(looks).get("/admin/jobs/api/v1/audit").json(),
    "async": asyncio.run(soon.get(one)).status_code,
    "entry": "/admin/jobsd/dashboard/" in client(boss).get("/admin/").content.decode(),
    "leads": client(looks).get("/admin/jobsd/dashboard/").headers["Location"],
    "adds": client(boss).get("/admin/jobsd/dashboard/add/").status_code,
    "no transaction": sorted(resolve("/admin/jobs/").func._non_atomic_requests),
}
print("SEEN", json.dumps(seen))
"""


@pytest.mark.parametrize("python", [sys.executable, WITH_SIX], ids=["here", "django 6"])
def test_staff_use_the_dashboard_within_their_permissions(
    python: str, tmp_path: Path, empty_database: str
) -> None:
    if not python:
        pytest.skip("JOBSD_TEST_DJANGO6_PYTHON names no Python with Django 6")
    project = DjangoProject(tmp_path, python)
    project.configure({"default": database(empty_database)})
    with (tmp_path / "settings.py").open("a") as file:
        file.write(SETTINGS)
    project.write("urls.py", URLS)

    project.manage("migrate", "-v", "0")
    unchanged = project.manage("makemigrations", "--check", "--dry-run")
    seen: dict[str, Any] = json.loads(project.shell(VISIT).split("SEEN ")[1])

    assert "No changes detected" in unchanged
    assert (seen["pages"], seen["astray"], seen["style"]) == ([200] * 3, [], 200)
    assert seen["nobody"].startswith("/admin/login/?next=/admin/jobs/jobs/")
    refused = ("other", "left", "checks", "cross", "admin only", "adds")
    assert [seen[name] for name in refused] == [403] * 6
    assert seen["no transaction"] == ["default"]
    assert "?done=" in seen["acts"]
    assert (seen["boss"], seen["async"]) == (303, 200)
    assert {"acts", "boss"} <= set(str(seen["audit"]).split("'"))
    assert (seen["entry"], seen["leads"]) == (True, "/admin/jobs/")
