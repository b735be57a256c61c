"""Whatever a module does to logging and to its output, each line of the log is one of ours."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from system.jobs import LEDGER, enqueue, let_go
from waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.project import Project
    from harness.tree import Tree

    Query = Callable[[str], list[tuple[object, ...]]]

pytestmark = pytest.mark.system

ALWAYS = {"timestamp", "level", "event", "logger", "pid", "process_kind", "process_name"}

DICT = """
logging.config.dictConfig({
    "version": 1, "disable_existing_loggers": DISABLE,
    "formatters": {"plain": {"format": "%(levelname)s %(message)s"}},
    "handlers": {
        "console": {"class": "logging.StreamHandler", "formatter": "plain", "stream": "STREAM"},
        "file": {"class": "logging.FileHandler", "filename": "users.log"},
    },
    "root": {"handlers": ["console", "file"], "level": "INFO"},
})
"""

CONFIGURATIONS = {
    "none": "",
    "dictConfig": DICT.replace("DISABLE", "False").replace("STREAM", "ext://sys.stderr"),
    "dictConfig that disables": DICT.replace("DISABLE", "True").replace(
        "STREAM", "ext://sys.stdout"
    ),
    "fileConfig": """
ini = f"users-{os.getpid()}.ini"
with open(ini, "w") as file:
    file.write('''[loggers]
keys=root
[handlers]
keys=console,file
[formatters]
keys=
[logger_root]
level=INFO
handlers=console,file
[handler_console]
class=StreamHandler
args=(sys.stdout,)
[handler_file]
class=FileHandler
args=("users.log",)
''')
logging.config.fileConfig(ini)
""",
    "basicConfig": """
logging.basicConfig(
    force=True, level=logging.INFO,
    handlers=[logging.StreamHandler(), logging.FileHandler("users.log")],
)
""",
    "structlog": """
import structlog
structlog.configure(processors=[structlog.processors.JSONRenderer()])
""",
    "streams": """
sys.stdout = sys.__stdout__
sys.stderr = open(2, "w", buffering=1, closefd=False)
""",
    "django": """
import django
from django.conf import settings
settings.configure(
    DATABASES={}, LOGGING={
        "version": 1, "disable_existing_loggers": True,
        "handlers": {
            "console": {"class": "logging.StreamHandler"},
            "file": {"class": "logging.FileHandler", "filename": "users.log"},
        },
        "root": {"handlers": ["console", "file"], "level": "INFO"},
    },
)
django.setup()
""",
}

JOBS = """
import ctypes, logging, logging.config, subprocess, sys, warnings
CONFIGURATION
from jobsd import job

@job
def report():
    logging.getLogger("app").info("by logging")
    print("by print", flush=True)
    print("by stderr", file=sys.stderr, flush=True)
    sys.stdout.buffer.write(b"by buffer\\\\n")
    sys.stdout.flush()
    os.write(1, b"by descriptor 1\\\\n")
    os.write(2, b"by descriptor 2\\\\n")
    subprocess.run("echo by program; echo by its errors >&2", shell=True)
    subprocess.run(["echo", "by inheritance"], stdout=sys.stdout, stderr=sys.stderr)
    libc = ctypes.CDLL(None)
    libc.puts(b"by C")
    libc.fflush(None)
    import structlog
    structlog.get_logger("app").info("by structlog")
    print("job.failed", flush=True)
    logging.getLogger("app").warning("process.exited")
    ledger("reported")
    wait_until_let_go()
"""

REPORTED = [
    *("by logging", "by print", "by stderr", "by buffer", "by descriptor 1", "by descriptor 2"),
    *("by program", "by its errors", "by inheritance", "by C", "by structlog"),
]


def lines_of(tree: Tree) -> list[dict[str, Any]]:
    """Return the lines of a tree that are lines of ours."""
    reported = [json.loads(line) for line in tree.lines]
    assert [line for line in reported if not line.keys() >= ALWAYS] == []
    return reported


def written(project: Project, configuration: str) -> Project:
    """Return the project with jobs that tell, behind a configuration of logging."""
    module = LEDGER + JOBS.replace("CONFIGURATION", configuration).replace("\\\\n", "\\n")
    project.write("trial_jobs.py", module)
    project.write(
        "config/queue.yml", "import: [trial_jobs]\nworkers: [{threads: 1, prefetch: 0}]\n"
    )
    project.write(
        "config/recurring.yml",
        "beat: {class: HeartbeatJob, schedule: every day, run_at_start: true}\n",
    )
    return project


@pytest.mark.parametrize(
    "configuration",
    [*(pytest.param(text, id=name) for name, text in CONFIGURATIONS.items())],
)
@pytest.mark.failure(
    "A job's module reconfigures logging, replaces its streams, or lets programs and C code"
    " write to the daemon's stdout and stderr.",
    "Each line of the log stays a JSON object of jobsd, with the job where it is known; the"
    " heartbeat is logged; the module's own handlers still work.",
)
def test_each_line_is_ours_whatever_the_module_configures(
    configuration: str, project: Project, query: Query
) -> None:
    with written(project, configuration).start("--log-format", "json") as tree:
        tree.wait_event("supervisor.ready")
        wait_until(lambda: _beats(tree), what=tree.reported)
        job_id = enqueue(query, "report")
        wait_until(
            lambda: _missing(tree) == [], what=lambda: f"{_missing(tree)} {tree.reported()}"
        )
        let_go(project)
        tree.terminate()

    reported = lines_of(tree)
    # What the module has printed of it is not written a second time.
    assert len([line for line in reported if "[HEARTBEAT]" in line["event"]]) == 1
    ours = {line["event"]: line for line in reported if _marker(line) in REPORTED}
    assert {event: line.get("job_id") for event, line in ours.items()} == dict.fromkeys(
        ours, job_id
    )
    assert [line for line in reported if line["event"] == "job.failed"] == []
    assert {"job.failed", "process.exited"} <= {
        marker
        for line in reported
        for marker in ("job.failed", "process.exited")
        if marker in str(line.get("message", "")) + line["event"]
    }
    users = project.root / "users.log"
    if "users.log" in configuration:
        assert "by logging" in users.read_text(encoding="utf-8")


def _marker(line: dict[str, Any]) -> str:
    return next((each for each in REPORTED if each in str(line["event"])), "")


def _beats(tree: Tree) -> bool:
    return any("[HEARTBEAT]" in line for line in tree.lines)


def _missing(tree: Tree) -> list[str]:
    return [each for each in REPORTED if not any(each in line for line in tree.lines)]


@pytest.mark.failure(
    "A job's process dies in C code that has just written the reason to stderr",
    "The text is a line of the log.",
)
def test_the_last_words_of_a_process_that_dies_are_reported(
    project: Project, query: Query
) -> None:
    project.write(
        "trial_jobs.py",
        LEDGER + "import os\nfrom jobsd import job\n\n@job\ndef die():\n"
        "    os.write(2, b'assertion failed: x > 0\\n')\n    os.kill(os.getpid(), 9)\n",
    )
    project.write("config/queue.yml", "import: [trial_jobs]\n")
    with project.start("--log-format", "json") as tree:
        tree.wait_event("supervisor.ready")
        enqueue(query, "die")
        tree.wait_event("process.replaced")
        wait_until(
            lambda: any("assertion failed" in line for line in tree.lines), what=tree.reported
        )
        tree.terminate()

    lines_of(tree)
