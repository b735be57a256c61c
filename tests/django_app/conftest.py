"""A project of Django, for each version of it that is there."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from django_app.project import WITH_SIX, DjangoProject

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(params=[sys.executable, WITH_SIX], ids=["here", "django 6"])
def project(request: pytest.FixtureRequest, tmp_path: Path) -> DjangoProject:
    if not request.param:
        pytest.skip("JOBSD_TEST_DJANGO6_PYTHON names no Python with Django 6")
    return DjangoProject(tmp_path, request.param)
