"""Detects the framework and the code in a folder for `init`.

It imports no code. A file that can't be read is treated as missing: `init` works in any folder,
with fewer facts. `manage.py jobs` and `flask jobs` name the application in the environment.
"""

import contextlib
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

_FRAMEWORKS = {"django": "Django", "fastapi": "FastAPI", "flask": "Flask"}
_SETTINGS = re.compile(r"""DJANGO_SETTINGS_MODULE["']\s*,\s*["']([\w.]+)["']""")
_CALLED = re.compile(r"\b(FastAPI|Flask)\(")
_LOADABLE = re.compile(
    r"^(?:def (?:create_app|make_app)\(|\w+[^=\n]*=\s*(?:flask\.)?Flask\()", re.MULTILINE
)
"""An application, or a factory, that Flask finds in a module without being told its name."""
_REQUIREMENTS = ("requirements.txt", "requirements.in", "requirements/base.txt")
_FIRST = ("app", "main", "wsgi", "asgi")
"""The modules that are read before the others."""
_MODULES_MAX = 200
_NOT_OURS = frozenset({"bin", "config", "docs", "examples", "migrations", "scripts", "tests"})


@dataclass(frozen=True, slots=True)
class FoundProject:
    """The facts about a folder; all empty if its kind is unknown.

    `because` names the file that shows the framework. `package` is the one that gets the
    sample, `source` the folder that it lies in ("src"), `settings` Django's module,
    `application` the one of Flask, as FLASK_APP names it. `runs_us`: we were called through the
    framework.
    """

    framework: str = ""
    because: str = ""
    package: str = ""
    source: str = ""
    settings: str = ""
    application: str = ""
    runs_us: bool = False

    def sentence(self) -> str:
        """Return the facts as a sentence, "" for none."""
        parts = [f"{self.framework} ({self.because})"] if self.framework else []
        if self.package:
            parts.append(
                f"the package {self.package}{f' in {self.source}/' * bool(self.source)}"
            )
        return " and ".join(parts)


def find_project(folder: Path, environ: Mapping[str, str] | None = None) -> FoundProject:
    """Return the facts about the folder, and those that the caller's framework has set."""
    named = environ or {}
    runs_us = named.get("JOBSD_IMPORT", "")
    written = _SETTINGS.search(_text(folder / "manage.py"))
    if runs_us == "jobsd.django.setup":
        return _of_django(folder, named["DJANGO_SETTINGS_MODULE"], runs_us=True)
    if written:
        return _of_django(folder, written[1])
    found = _found(folder)
    if runs_us != "jobsd.flask.setup":
        return found
    because = found.because if found.framework == "Flask" else "flask jobs"
    application = named.get("FLASK_APP") or found.application or "app"
    return replace(
        found, framework="Flask", because=because, application=application, runs_us=True
    )


def _of_django(folder: Path, settings: str, *, runs_us: bool = False) -> FoundProject:
    package = settings.partition(".")[0]
    known = package if _is_package(folder / package) else ""
    return FoundProject("Django", "manage.py", known, settings=settings, runs_us=runs_us)


def _found(folder: Path) -> FoundProject:
    package, source = "", ""
    for source in ("src", ""):
        if package := _package(folder, folder / source):
            break
    for name, path in _modules(folder, source, package):
        text = _text(path)
        if called := _CALLED.search(text):
            is_loadable = called[1] == "Flask" and _LOADABLE.search(text)
            because, application = str(path.relative_to(folder)), name if is_loadable else ""
            return FoundProject(called[1], because, package, source, application=application)
    return FoundProject(*_required(folder), package, source)


def _modules(folder: Path, source: str, package: str) -> Iterator[tuple[str, Path]]:
    """Yield modules that may hold the application: those of the folder and of the package."""
    places = {"": folder} | ({f"{package}.": folder / source / package} if package else {})
    for prefix, place in places.items():
        with contextlib.suppress(OSError):
            found = [each for each in place.glob("*.py") if not _is_test(each)]
            for path in sorted(found, key=_order)[:_MODULES_MAX]:
                yield f"{prefix}{path.stem}".removesuffix(".__init__"), path


def _is_test(path: Path) -> bool:
    return path.stem == "conftest" or path.stem.startswith("test_")


def _order(path: Path) -> tuple[int, str]:
    at = _FIRST.index(path.stem) if path.stem in _FIRST else len(_FIRST)
    return at, path.stem


def _required(folder: Path) -> tuple[str, str]:
    for name, required in _requirements(folder).items():
        for package, framework in _FRAMEWORKS.items():
            if package in required:
                return framework, name
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
