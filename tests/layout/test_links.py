"""The links that make the rooms at the root part of the package."""

from __future__ import annotations

import ast

import pytest

from layout.house import ROOMS, ROOT, SHIPPED, files


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_is_part_of_the_package_through_a_link(room: str) -> None:
    link = ROOT / "src/jobsd" / room

    assert link.readlink().as_posix() == f"../../{room}"
    assert (link / "__init__.py").samefile(ROOT / room / "__init__.py")


@pytest.mark.parametrize(("name", "folder"), SHIPPED.items())
def test_folders_shipped_in_the_wheel_are_linked(name: str, folder: str) -> None:
    assert (ROOT / "src/jobsd/shipped" / name).readlink().as_posix() == f"../../../{folder}"
    assert (ROOT / folder).is_dir()


@pytest.mark.parametrize("folder", ["packaging", "systemd", "config", "tests", "docs"])
def test_no_other_folder_at_the_root_is_a_package(folder: str) -> None:
    assert not (ROOT / folder / "__init__.py").exists()


def test_no_file_imports_a_room_by_its_bare_name() -> None:
    found = [
        f"{name}:{node.lineno}"
        for name in files(".py")
        for node in ast.walk(ast.parse((ROOT / name).read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom) and _roots_of(node) & set(ROOMS)
    ]

    assert found == [], "this would load a second copy: write `from jobsd.worker import …`"


def test_imports_between_rooms_are_absolute() -> None:
    found = [
        f"{name}:{node.lineno}"
        for name in files(".py")
        for node in ast.walk(ast.parse((ROOT / name).read_text()))
        if isinstance(node, ast.ImportFrom) and node.level > _depth_in_its_room(name)
    ]

    assert found == [], "a relative import leaves its room"


def _roots_of(node: ast.Import | ast.ImportFrom) -> set[str]:
    if isinstance(node, ast.Import):
        return {alias.name.split(".")[0] for alias in node.names}
    return set() if node.level or not node.module else {node.module.split(".")[0]}


def _depth_in_its_room(name: str) -> int:
    """Return how many leading dots stay within the room: 1 for worker/turn.py."""
    return len(name.removeprefix("src/jobsd/").split("/")) - 1
