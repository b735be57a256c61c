"""The command by which generated files start this program."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from jobsd.daemon.generate import called

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("files", "named"),
    [
        ((), {}),
        (("bin/jobs",), {"VIRTUAL_ENV": sys.prefix}),
        (("bin/jobs", ".venv/bin/jobsd"), {}),
    ],
    ids=["no script", "a script", "a script and its Python"],
)
def test_a_script_is_given_this_python_unless_it_finds_its_own(
    tmp_path: Path, files: tuple[str, ...], named: dict[str, str]
) -> None:
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()
    options: Any = SimpleNamespace(root=tmp_path)

    assert called.variables(options) == named


@pytest.mark.parametrize(
    ("name", "command"), [("manage.py", "{python} {path} jobs"), ("flask", "{path} jobs")]
)
def test_a_program_of_a_framework_is_called_with_jobs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, command: str
) -> None:
    path = tmp_path / name
    monkeypatch.setattr(sys, "argv", [str(path)])
    options: Any = SimpleNamespace(root=tmp_path)

    assert called.on_this_machine(options) == command.format(python=sys.executable, path=path)
