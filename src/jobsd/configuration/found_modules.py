"""Finds the modules of a project that names none: `app/jobs/*.py`, or `app/jobs.py`."""

import contextlib
from pathlib import Path

FOLDER = "app/jobs"


def found_modules(root: Path) -> tuple[str, ...]:
    """Return the names of the modules, sorted; not of folders below, nor of tests."""
    package = FOLDER.replace("/", ".")
    names: list[str] = []
    with contextlib.suppress(OSError):
        names = sorted(path.stem for path in (root / FOLDER).glob("*.py") if _defines(path))
    if names:
        return tuple(f"{package}.{name}".removesuffix(".__init__") for name in names)
    return (package,) if (root / f"{FOLDER}.py").is_file() else ()


def _defines(path: Path) -> bool:
    name = path.stem
    private = name.startswith("__") and name != "__init__"
    return name.isidentifier() and not private and not name.startswith("test_")
