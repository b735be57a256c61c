"""The modules of a project whose configuration names none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jobsd.configuration.flags import Flags
from jobsd.configuration.found_modules import found_modules
from jobsd.configuration.load import load_for_commands

if TYPE_CHECKING:
    from pathlib import Path

FILES = {
    "folder": ("b.py", "a.py", "test_a.py", "not-a-name.py", "below/c.py", "a.txt"),
    "package": ("__init__.py", "__main__.py", "a.py"),
}


def _make(root: Path, names: tuple[str, ...]) -> None:
    for name in names:
        path = root / "app/jobs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("folder", ("app.jobs.a", "app.jobs.b")),
        ("package", ("app.jobs", "app.jobs.a")),
    ],
)
def test_the_modules_of_the_folder_are_found(
    tmp_path: Path, kind: str, expected: tuple[str, ...]
) -> None:
    _make(tmp_path, FILES[kind])
    (tmp_path / "app/jobs.py").touch()

    assert found_modules(tmp_path) == expected


def test_the_module_is_found_without_the_folder(tmp_path: Path) -> None:
    assert found_modules(tmp_path) == ()

    (tmp_path / "app").mkdir()
    (tmp_path / "app/jobs.py").touch()

    assert found_modules(tmp_path) == ("app.jobs",)


@pytest.mark.parametrize(
    ("text", "flags", "expected"),
    [
        ("{}", {}, ("app.jobs.a",)),
        ("import: null", {}, ("app.jobs.a",)),
        ("import: []", {}, ()),
        ("import: [shop]", {}, ("shop",)),
        ("{}", {"imports": ("shop",)}, ("app.jobs.a", "shop")),
        (None, {}, ("app.jobs.a",)),
    ],
)
def test_they_count_only_if_the_file_names_none(
    tmp_path: Path,
    text: str | None,
    flags: dict[str, tuple[str, ...]],
    expected: tuple[str, ...],
) -> None:
    _make(tmp_path, ("a.py",))
    if text is not None:
        (tmp_path / "config").mkdir()
        (tmp_path / "config/queue.yml").write_text(text, encoding="utf-8")

    options = load_for_commands(tmp_path, {}, Flags(**flags))

    assert options.imports == expected
