"""Asks the application of a framework for its database, in a process that is thrown away."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace

from jobsd import errors

from .options import DatabaseOptions, Options

SETUPS = frozenset({"jobsd.django.setup", "jobsd.flask.setup"})
"""The modules that load an application, which `import:` names."""
_ASKED = "JOBSD_ASKED"
"""Set in that process: an application that enqueues while it loads asks no further one."""
PATIENCE_S = 60.0
"""How long an application may take to load."""
_PROGRAM = """
import importlib, json, sys
from jobsd import handed_on
for name in sys.argv[1:]:
    importlib.import_module(name)
found = handed_on.environ()
print()
print(json.dumps([found.get("DATABASE_URL"), found.get(handed_on.SCHEMA)]))
"""


def setups(options: Options) -> list[str]:
    """Return the modules of `import:` that load an application."""
    return [name for name in options.imports if name in SETUPS]


def database(options: Options, environ: Mapping[str, str]) -> DatabaseOptions:
    """Return the settings of the database, completed by those of the application.

    Raises:
        NoDatabaseError: when the application can't be loaded, or not in time.
    """
    named = setups(options)
    configured = options.database
    if configured.url is not None or not named or _ASKED in environ:
        return configured
    try:
        done = subprocess.run(
            [sys.executable, "-c", _PROGRAM, *named],
            cwd=options.root,
            env={**environ, _ASKED: "1"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_S,
        )
    except subprocess.TimeoutExpired as error:
        late = f"it has not loaded within {PATIENCE_S:g} s"
        raise _refused(named[0], [late]) from error
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        raise _refused(named[0], lines)
    url, schema = json.loads(done.stdout.rstrip("\n").rpartition("\n")[2])
    if not schema or configured.schema != DatabaseOptions().schema:
        schema = configured.schema
    return replace(configured, url=url or None, schema=schema)


def _refused(setup: str, lines: list[str]) -> errors.NoDatabaseError:
    message = f"no database is configured, and {setup} can't be asked: {lines[-1]}"
    fault = errors.Fault(message, "import", excerpt="\n".join(lines[-10:]))
    return errors.NoDatabaseError((fault,))
