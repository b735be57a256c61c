"""No file stands in the way of who reads: none only forwards, a small one has a reason."""

from __future__ import annotations

import ast
from collections import Counter
from functools import cache

from layout.house import ROOT
from layout.modules import imports, module_of, sources

_IMPORTS = (ast.Import, ast.ImportFrom)

WORKER_FILES_MAX = 9
"""Without `claiming`, which is a room of its own."""

SMALL_LINES = 40
"""A file that is shorter, and that only one other imports, needs a reason to be one."""
REASONS = {
    "daemon/tree/database_faults.py": "only an error of the driver loads the driver",
    "daemon/entry_point.py": "nothing may be loaded before an interrupt is the end",
    "src/jobsd/configuration/by_queue.py": "reads a mapping; the other kinds read one value",
    "src/jobsd/database/clients.py": "only an embedded server is asked, and it knows no driver",
    "src/jobsd/database/identity.py": "asks two servers, and knows nothing of a tree",
    "src/jobsd/django/checks.py": "Django's name",
    "src/jobsd/django/models.py": "Django's name",
    "src/jobsd/django/router.py": "a setting of Django names it",
    "src/jobsd/django/runserver.py": "the one server that we start a tree in by ourselves",
    "src/jobsd/flask/command.py": "imports click and the command line of Flask",
    "src/jobsd/logs/line_handler.py": "imports logging",
    "src/jobsd/logs/log_file.py": "one fact of a file: how processes share it",
    "src/jobsd/enqueueing/blocking.py": "warns once in a program: has the state of that",
    "src/jobsd/operations/next_runs.py": "has a cache of its own",
    "src/jobsd/scoreboard/web_requests.py": "the pages of the dashboard, which are counted",
}


def test_a_worker_is_nine_files() -> None:
    found = [name for name in sources() if name.startswith("worker/") and name.count("/") == 1]

    assert 0 < len(found) - 1 <= WORKER_FILES_MAX, "more than the files beside __init__.py"


def test_no_file_only_forwards() -> None:
    forwarding = {name for name in sources() if _only_forwards(name)}

    # `__init__` is the front door of a room, `__main__` that of a program.
    assert {name for name in forwarding if not name.endswith("__.py")} == set()


def test_a_small_file_that_only_one_other_imports_has_a_reason() -> None:
    small = {
        name
        for name in sources()
        if _lines(name) < SMALL_LINES and _importers()[module_of(name)] == 1
    }

    assert small == REASONS.keys()


def _lines(name: str) -> int:
    return (ROOT / name).read_text(encoding="utf-8").count("\n")


@cache
def _importers() -> Counter[str]:
    """Return how many others import each module, within functions too."""
    return Counter(name for named in imports(within_functions=True).values() for name in named)


def _only_forwards(name: str) -> bool:
    """Return whether a file has imports and says what it gives on, and nothing else."""
    body = ast.parse((ROOT / name).read_text(encoding="utf-8")).body
    return any(isinstance(node, _IMPORTS) for node in body) and all(
        isinstance(node, _IMPORTS) or _says_what_it_gives(node) for node in body
    )


def _says_what_it_gives(node: ast.stmt) -> bool:
    match node:
        case ast.Assign(targets=[ast.Name(id="__all__")]) | ast.Expr(value=ast.Constant()):
            return True
        case _:
            return False
