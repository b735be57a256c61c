"""Detects the framework and the code in a folder for `init`.

It imports no code. A file that can't be read is treated as missing: `init` works in any folder,
with fewer facts.
"""

import contextlib
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

_FRAMEWORKS = {"django": "Django", "fastapi": "FastAPI", "flask": "Flask"}
_SETTINGS = re.compile(r"""DJANGO_SETTINGS_MODULE["']\s*,\s*["']([\w.]+)["']""")
_CALLED = re.compile(r"\b(FastAPI|Flask)\(")
_REQUIREMENTS = ("requirements.txt", "requirements.in", "requirements/base.txt")
_MODULES = ("app.py", "main.py", "wsgi.py", "asgi.py")
_NOT_OURS = frozenset({"bin", "config", "docs", "examples", "migrations", "scripts", "tests"})


@dataclass(frozen=True, slots=True)
class FoundProject:
    """The facts about a folder; all empty if its kind is unknown.

    `because` names the file that shows the framework. `package` is the one that gets the
    sample, `source` the folder that it lies in ("src"), `settings` Django's module.
    """

    framework: str = ""
    because: str = ""
    package: str = ""
    source: str = ""
    settings: str = ""

    def sentence(self) -> str:
        """Return the facts as a sentence, "" for none."""
        parts = [f"{self.framework} ({self.because})"] if self.framework else []
        if self.package:
            parts.append(
                f"the package {self.package}{f' in {self.source}/' * bool(self.source)}"
            )
        return " and ".join(parts)


def find_project(folder: Path) -> FoundProject:
    """Return the facts about the folder."""
    settings = _SETTINGS.search(_text(folder / "manage.py"))
    if settings:
        package = settings[1].partition(".")[0]
        known = package if _is_package(folder / package) else ""
        return FoundProject("Django", "manage.py", known, "", settings[1])
    framework, because = _framework(folder)
    for source in ("src", ""):
        if package := _package(folder, folder / source):
            return FoundProject(framework, because, package, source)
    return FoundProject(framework, because)


def _framework(folder: Path) -> tuple[str, str]:
    for name, required in _requirements(folder).items():
        for package, framework in _FRAMEWORKS.items():
            if package in required:
                return framework, name
    for name in _MODULES:
        if called := _CALLED.search(_text(folder / name)):
            return called[1], name
    return "", ""


def _requirements(folder: Path) -> dict[str, set[str]]:
    """Return the names of the packages that each file requires."""
    project = _project(folder)
    listed = project.get("dependencies", [])
    files = {"pyproject.toml": [each for each in listed if isinstance(each, str)]}
    files |= {name: _text(folder / name).splitlines() for name in _REQUIREMENTS}
    return {
        name: {found[0].lower() for line in lines if (found := re.match(r"\s*[\w.-]+", line))}
        for name, lines in files.items()
    }


def _package(folder: Path, source: Path) -> str:
    """Return the project's package of that name, or its only package."""
    found: list[str] = []
    with contextlib.suppress(OSError):
        found = sorted(
            each.name for each in source.iterdir() if _is_package(each) and _is_ours(each.name)
        )
    named = str(_project(folder).get("name", "")).replace("-", "_").lower()
    if named in found:
        return named
    return found[0] if len(found) == 1 else ""


def _is_package(folder: Path) -> bool:
    with contextlib.suppress(OSError):
        return folder.name.isidentifier() and (folder / "__init__.py").is_file()
    return False


def _is_ours(name: str) -> bool:
    return name not in _NOT_OURS


def _project(folder: Path) -> dict[str, Any]:
    with contextlib.suppress(tomllib.TOMLDecodeError):
        found: object = tomllib.loads(_text(folder / "pyproject.toml")).get("project")
        return cast("dict[str, Any]", found) if isinstance(found, dict) else {}
    return {}


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8") if path.is_file() else ""
    except (OSError, UnicodeDecodeError):
        return ""
