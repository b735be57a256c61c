"""Which interpreter .venv is made with, and what is said when none will do."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest

from setup.machine import Started, shell

if TYPE_CHECKING:
    from pathlib import Path

_NAMES = ("python3", "python3.14", "python3.13", "python3.12", "python3.11")
_FIND = "python=''; find_python; echo \"$python\""
_TOO_OLD = "sys.version_info = (3, 9, 2)"
_WITHOUT_VENV = "sys.modules['ensurepip'] = None"


@pytest.fixture
def names(tmp_path: Path) -> Path:
    """A folder whose Pythons hide all others, and do not run until they are replaced."""
    for name in _NAMES:
        (tmp_path / name).write_text("#!/bin/sh\nexit 127\n")
        (tmp_path / name).chmod(0o755)
    return tmp_path


def _alter(python: Path, change: str) -> None:
    """Make `python` an interpreter that is this one but for a change; it gets `-I -c CODE`."""
    code = f"import sys; {change}; exec(sys.argv[3])"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "{code}" "$@"\n')


def _find(names: Path, **environment: str) -> Started:
    return shell(_FIND, {"PATH": f"{names}:/usr/bin:/bin", **environment})


def test_python3_is_taken_when_it_will_do(names: Path) -> None:
    _alter(names / "python3", "pass")
    found = _find(names)

    assert os.path.realpath(found.out.strip()) == os.path.realpath(sys.executable)


def test_the_real_interpreter_is_taken_and_not_that_of_an_environment(names: Path) -> None:
    _alter(names / "python3", "pass")
    found = _find(names)

    # `_alter` has it started by its path in our environment.
    assert sys.executable.startswith(sys.prefix)
    assert sys.prefix != sys.base_prefix
    assert os.path.realpath(found.out.strip()) == os.path.realpath(sys.executable)
    assert not found.out.startswith(sys.prefix)


def test_a_python3_that_is_too_old_is_passed_over(names: Path) -> None:
    _alter(names / "python3", _TOO_OLD)
    _alter(names / "python3.12", "pass")
    found = _find(names)

    assert (found.status, found.err) == (0, "")


def test_the_search_for_python_is_reported_in_one_line_with_each_fault(
    names: Path,
) -> None:
    _alter(names / "python3", _TOO_OLD)
    _alter(names / "python3.13", _WITHOUT_VENV)
    found = _find(names)

    package = "python{}.{}-venv".format(*sys.version_info)
    assert found.status == 78
    assert found.err.count("\n") == 1
    assert f"looked for: {' '.join(_NAMES)}; python3 is 3.9; " in found.err
    assert f"python3.13 lacks venv: install the package {package}" in found.err


def test_a_python_that_is_asked_for_is_the_only_one_tried(names: Path) -> None:
    _alter(names / "python3", "pass")
    found = _find(names, JOBSD_PYTHON="/nowhere/python")

    assert found.status == 78
    assert "looked for: /nowhere/python" in found.err


def test_a_python_that_is_asked_for_may_lie_in_a_folder_with_spaces(names: Path) -> None:
    folder = names / "some folder"
    folder.mkdir()
    (folder / "python").write_text("")
    (folder / "python").chmod(0o755)
    _alter(folder / "python", "pass")

    assert _find(names, JOBSD_PYTHON=str(folder / "python")).status == 0
