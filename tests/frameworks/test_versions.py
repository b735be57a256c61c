"""The oldest supported versions of frameworks, drivers and SDKs, and the newest there are.

Each in an environment of theirs. JOBSD_TEST_OLDEST_PYTHON and JOBSD_TEST_NEWEST_PYTHON may name
a Python of one that stays; else it is made here, in a minute.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.system, pytest.mark.long, pytest.mark.timeout(1800)]

ROOT = Path(__file__).resolve().parents[2]
EXTRAS = "django,embedded,flask,otel,sentry,test,web"
BESIDE = (
    *("a2wsgi", "asyncpg", "fastapi", "flask-sqlalchemy", "gunicorn", "httpx", "hypercorn"),
    *("hypothesis", "opentelemetry-sdk", "pg8000", "psutil", "psycopg2-binary"),
    *("pytest-asyncio", "pytest-django", "pytest-timeout", "pytest-xdist"),
    *("sqlalchemy[asyncio]", "starlette", "uvicorn"),
)
TESTS = (
    "tests/frameworks",
    "tests/django_app",
    "tests/web_servers/test_in_web.py",
    *(f"tests/jobs/test_{name}.py" for name in ("drivers", "sqlalchemy", "django", "psycopg")),
)


@pytest.fixture(scope="module", params=["oldest", "newest"])
def python(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    age = str(request.param)
    if kept := os.environ.get(f"JOBSD_TEST_{age.upper()}_PYTHON"):
        return kept
    folder = tmp_path_factory.mktemp(age)
    # Django 6 is for newer Pythons than ours may be.
    newer = shutil.which("python3.13") if age == "newest" else None
    subprocess.run([newer or sys.executable, "-m", "venv", folder], check=True)
    found = str(folder / "bin/python")
    limits = ["-c", str(Path(__file__).parent / "oldest.txt")] if age == "oldest" else []
    wanted = ["-e", f"{ROOT}[{EXTRAS}]", *BESIDE, *limits]
    quiet = ["install", "-q", "--disable-pip-version-check"]
    subprocess.run([found, "-m", "pip", *quiet, *wanted], check=True)
    return found


@pytest.mark.parametrize("tests", TESTS)
def test_all_that_users_are_promised_holds_with_these_versions(tests: str, python: str) -> None:
    pytest_of_theirs = str(Path(python).parent / "pytest")
    words = ["-q", "-m", "not long", "-p", "no:cacheprovider", tests]
    done = subprocess.run(
        [pytest_of_theirs, *words],
        cwd=ROOT,
        env=os.environ | _with_six(python),
        check=False,
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stdout[-8000:]
    assert " passed" in done.stdout


def _with_six(python: str) -> dict[str, str]:
    """Return the variable by which the tests of Django's tasks find a Django that has them."""
    asked = "import django; print(django.VERSION[0])"
    done = subprocess.run([python, "-c", asked], check=True, capture_output=True, text=True)
    return {"JOBSD_TEST_DJANGO6_PYTHON": python} if int(done.stdout) >= 6 else {}
