"""A program that configures no database finds the one of its project, or is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jobsd.configuration.target import find_target
from jobsd.errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path


def test_a_program_outside_of_any_project_makes_no_server(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="a program starts none"):
        find_target(tmp_path, {})

    assert list(tmp_path.iterdir()) == []


def test_a_program_with_a_database_needs_no_project(tmp_path: Path) -> None:
    found = find_target(tmp_path, {"DATABASE_URL": "postgresql://me@host/app"})

    assert found.url == "postgresql://me@host/app"
