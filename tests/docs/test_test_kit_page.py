"""The plugin registers itself; what docs/guide/test-kit.md shows passes beside others."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from docs.pages import blocks, guide

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.system

PAGE = guide("test-kit")
SETTINGS = """
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
INSTALLED_APPS = ["django.contrib.contenttypes"]
"""
INI = """
[pytest]
DJANGO_SETTINGS_MODULE = site_settings
asyncio_mode = auto
asyncio_default_fixture_loop_scope = function
pythonpath = .
filterwarnings = error
"""
TESTS = """
def test_jobs_see_the_transaction_of_the_test(jobs, db):
    from django.contrib.contenttypes.models import ContentType
    from jobsd import job
    from jobsd.testing import assert_enqueued, perform_enqueued

    @job(name="make")
    def make(name):
        ContentType.objects.create(app_label="shop", model=name)

    make.enqueue("order")
    assert_enqueued(make, args=["order"])
    perform_enqueued()
    assert ContentType.objects.filter(app_label="shop").count() == 1

def test_rows_written_by_a_job_are_rolled_back_with_the_test(db):
    from django.contrib.contenttypes.models import ContentType

    assert not ContentType.objects.filter(app_label="shop").exists()

async def test_coroutines_of_a_test_enqueue(jobs_inline):
    from jobsd import job

    @job(name="double", result_ttl="1h")
    async def double(number):
        return number * 2

    handle = await double.aenqueue(21)
    assert await handle.aresult() == 42
"""


def test_a_run_that_does_not_use_the_plugin_loads_nothing() -> None:
    code = (
        "import sys, jobsd.testing.plugin\n"
        "print(sorted(name for name in sys.modules if name.startswith(('jobsd', 'psycopg'))))"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)

    assert done.stdout == b"['jobsd', 'jobsd.testing', 'jobsd.testing.plugin']\n"


def test_the_page_s_tests_pass_beside_other_plugins(tmp_path: Path) -> None:
    shop, tests, cases = blocks(PAGE, "python")
    (tmp_path / "config").mkdir()
    for name, text in (
        ("shop.py", shop),
        ("test_shop.py", tests),
        ("test_cases.py", cases),
        ("config/recurring.yml", blocks(PAGE, "yaml")[0]),
        ("site_settings.py", SETTINGS),
        ("pytest.ini", INI),
        ("test_site.py", TESTS),
    ):
        (tmp_path / name).write_text(text)

    command = [sys.executable, "-m", "pytest", "-n", "2", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, str(tmp_path)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert "12 passed" in done.stdout, done.stdout + done.stderr
