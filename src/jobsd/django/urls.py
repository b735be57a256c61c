"""The dashboard for staff: `path("admin/jobs/", include("jobsd.django.urls"))`."""

from importlib import import_module
from typing import Any

from .dashboard import dashboard

app_name = "jobsd"
_urls: Any = import_module("django.urls")

urlpatterns = [_urls.re_path(r"^(?P<below>.*)$", dashboard, name="dashboard")]
