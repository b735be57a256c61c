"""A project of Django with jobsd, as its guide describes one."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

from psycopg import conninfo

from docs.pages import blocks, guide
from harness.tree import ENDS_WITH_US

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

SETTINGS = """
SECRET_KEY = "none"
USE_TZ = True
INSTALLED_APPS = [
    "django.contrib.auth", "django.contrib.contenttypes", "shop", "jobsd.django",
]
DATABASES = {databases!r}
JOBSD_DATABASE = {alias!r}
LOGGING = {{
    "version": 1,
    "disable_existing_loggers": True,
    "handlers": {{"mine": {{"class": "logging.StreamHandler"}}}},
    "root": {{"handlers": ["mine"], "level": "INFO"}},
}}
"""
MANAGE = """
import os, sys
from django.core.management import execute_from_command_line
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")
execute_from_command_line(sys.argv)
"""
SQLITE = {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}
WITH_SIX = os.environ.get("JOBSD_TEST_DJANGO6_PYTHON", "")
"""A Python with Django 6, psycopg and jobsd."""


def database(url: str) -> dict[str, object]:
    """Return an entry of `DATABASES`."""
    parts = conninfo.conninfo_to_dict(url)
    keys = {"NAME": "dbname", "USER": "user", "PASSWORD": "password", "HOST": "host"}
    made: dict[str, object] = {key: parts.get(name) or "" for key, name in keys.items()}
    return {
        **made,
        "ENGINE": "django.db.backends.postgresql",
        "PORT": parts.get("port") or "",
        "CONN_MAX_AGE": 60,
        "CONN_HEALTH_CHECKS": True,
    }


class DjangoProject:
    """A folder with a project, and what is run there."""

    def __init__(self, root: Path, python: str = sys.executable) -> None:
        self.root = root
        self._python = python
        kept = {"PATH", "HOME", "LANG", "TMPDIR"}
        self.environ = {name: os.environ[name] for name in kept & os.environ.keys()}
        self.environ |= {"JOBSD_METRICS_BIND": "off", "DJANGO_SETTINGS_MODULE": "settings"}
        jobs = blocks(guide("django"), "python")[1]
        files = {"manage.py": MANAGE, "shop/jobs.py": jobs, "shop/__init__.py": ""}
        for name, text in files.items():
            self.write(name, text)

    def write(self, name: str, text: str) -> None:
        """Write a file of the project."""
        path = self.root / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(text, encoding="utf-8")

    def configure(self, databases: Mapping[str, object], alias: str = "default") -> None:
        """Write the settings."""
        self.write("settings.py", SETTINGS.format(databases=databases, alias=alias))

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run Python to its end."""
        return subprocess.run(
            [*ENDS_WITH_US, self._python, *arguments],
            cwd=self.root,
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
            stdin=subprocess.DEVNULL,
        )

    def manage(self, *arguments: str) -> str:
        """Run a command of `manage.py`; return all that it has written."""
        done = self.run("manage.py", *arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def shell(self, program: str) -> str:
        """Run a program with Django set up; return what it prints."""
        done = self.run("-c", f"import django\ndjango.setup()\n{program}")
        assert done.returncode == 0, done.stderr
        return done.stdout
