"""Writes the files of a new project, fitted to existing ones, without overwriting any.

Only `.gitignore` gets additional lines, if the folder has one or is git's.
"""

import re
from pathlib import Path

from jobsd.configuration.example import example_queue_file
from jobsd.text import shipped_text

from .found_project import FoundProject, find_project

_CONFIGURATION = {"config/queue.yml": 0o644, "config/recurring.yml": 0o644}
# The job's module has a name that no package has, so that it shadows none.
_SAMPLE = "sample_jobs"
_IGNORED = ("/storage/postgres/", "/log/*.log")
"""Files that a daemon writes into its project: the embedded server's, and maybe a log."""


def write_project(folder: Path, found: FoundProject | None = None) -> dict[str, str]:
    """Write the missing files; return for each: made, kept or extended."""
    found = find_project(folder) if found is None else found
    names = {"bin/jobs": 0o755, **_CONFIGURATION, sample_file(found): 0o644}
    done = {
        name: "made" if _write(folder / name, _text(name, found), mode) else "kept"
        for name, mode in names.items()
    }
    return done | _ignore(folder)


def sample_module(found: FoundProject) -> str:
    """Return the name of the sample's module."""
    return f"{found.package}.{_SAMPLE}" if found.package else _SAMPLE


def sample_file(found: FoundProject) -> str:
    """Return where the sample lies in the project."""
    path = sample_module(found).replace(".", "/")
    return f"{found.source}/{path}.py" if found.source else f"{path}.py"


def imports(found: FoundProject) -> tuple[str, ...]:
    """Return the modules for `import:`, the loader of the application first."""
    setups = {"jobsd.django.setup": found.settings, "jobsd.flask.setup": found.application}
    return (
        *(each for each, named in setups.items() if named),
        sample_module(found),
    )


def next_commands(found: FoundProject) -> tuple[str, str, str]:
    """Return the three commands that come next."""
    start = "python manage.py jobs" if found.settings else "bin/jobs"
    first = "python manage.py migrate" if found.settings else f"{start} check"
    return first, start, f"""{start} enqueue {sample_module(found)}.welcome '["world"]'"""


def _text(name: str, found: FoundProject) -> str:
    if name == "config/queue.yml":
        return example_queue_file("${JOB_CONCURRENCY:-1}", imports(found))
    template = f"{name.rpartition('/')[2]}.template"
    text = shipped_text(f"daemon/generate/templates/{template}")
    text = text.replace("@EXPORTS@\n", _exports(found))
    return text.replace(_SAMPLE, sample_module(found))


def _exports(found: FoundProject) -> str:
    """Return the variables that the script sets, so that it finds the project's code."""
    lines: list[str] = []
    if found.source:
        path = f"$JOBSD_HOME/{found.source}"
        lines.append(f'export PYTHONPATH="{path}${{PYTHONPATH:+:$PYTHONPATH}}"\n')
    named = {"DJANGO_SETTINGS_MODULE": found.settings, "FLASK_APP": found.application}
    for name, value in named.items():
        if value:
            written = re.sub(r'([\\"$`}])', r"\\\1", value)
            lines.append(f'export {name}="${{{name}:-{written}}}"\n')
    return "".join(lines)


def _write(path: Path, text: str, mode: int) -> bool:
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        # Exclusive: even a dangling link belongs to its owner.
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        return False
    # As the umask allows, like any other new file: only its readers may execute it.
    allowed = path.stat().st_mode
    path.chmod(allowed | (allowed >> 2 & mode & 0o111))
    return True


def _ignore(folder: Path) -> dict[str, str]:
    """Add the missing lines to .gitignore."""
    path = folder / ".gitignore"
    if path.is_symlink() or not (path.is_file() or (folder / ".git").exists()):
        return {}
    before = path.read_bytes() if path.exists() else b""
    there = {line.strip() for line in before.splitlines()}
    missing = [line for line in _IGNORED if line.encode() not in there]
    if not missing:
        return {".gitignore": "kept"}
    gap = b"" if not before or before.endswith(b"\n") else b"\n"
    with path.open("ab") as file:
        file.write(gap + "\n".join(["# jobsd", *missing, ""]).encode())
    return {".gitignore": "extended" if before else "made"}
