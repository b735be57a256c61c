"""The command by which generated files start this program."""

import os
import shlex
import shutil
import sys
from pathlib import Path

from jobsd.configuration.options import Options

_SCRIPT = "bin/jobs"
_WITH_GROUPS = ("manage.py", "flask")
"""Programs of frameworks, which have our commands below `jobs`."""


def in_image(options: Options) -> list[str]:
    """Return the words that start us in an image of the project, from the project's folder."""
    return [_SCRIPT] if (options.root / _SCRIPT).exists() else ["jobsd"]


def in_project(options: Options) -> str:
    """Return the command that starts us from the project's folder, on any machine.

    If the project has no script, it is the program as it was called.
    """
    if (options.root / _SCRIPT).exists():
        return _SCRIPT
    name = _called().name
    on_path = shutil.which(name)
    if on_path is not None and Path(on_path).samefile(_called()):
        return shlex.quote(name)
    return _here()


def on_this_machine(options: Options) -> str:
    """Return the command for programs of this machine that don't have our PATH."""
    script = options.root / _SCRIPT
    return shlex.quote(str(script)) if script.exists() else _here()


def variables(options: Options) -> dict[str, str]:
    """Return the variables by which the project's script finds this Python, if it needs any."""
    finds_its_own = (options.root / ".venv/bin/jobsd").exists()
    needed = (options.root / _SCRIPT).exists() and not finds_its_own
    return {"VIRTUAL_ENV": sys.prefix} if needed else {}


def _called() -> Path:
    """Return the file that was called; a script may have become `python -m jobsd.daemon`."""
    called = Path(sys.argv[0]).absolute()
    script = Path(os.environ.get("JOBSD_HOME") or "/nowhere") / _SCRIPT
    return script if called.name == "__main__.py" and script.exists() else called


def _here() -> str:
    called = _called()
    python = shlex.quote(sys.executable)
    if called.name == "__main__.py":
        return f"{python} -P -m jobsd.daemon"
    path = shlex.quote(str(called))
    if called.name == "manage.py":
        path = f"{python} {path}"
    return f"{path} jobs" if called.name in _WITH_GROUPS else path
