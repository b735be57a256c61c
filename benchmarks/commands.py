"""Measures how long a command takes as a process: how long people wait at a prompt.

Each command runs in turns with an interpreter that only loads the driver and click. A command
that needs no database should be faster than that, and one that uses the database hardly slower,
however many jobs there are. Our modules always have their bytecode, as installed ones do, even
if the shell sets PYTHONDONTWRITEBYTECODE: otherwise our modules would be compiled each time,
but those of the other side would not. Both run by real-time priority where the system lets
them: then they wait for no other program.
"""

from __future__ import annotations

import contextlib
import os
import resource
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from jobsd.clock import monotonic

from .filling import fill
from .pairs import Case, Contender, Measured

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

    from .server import Server

_PROGRAM = (sys.executable, "-P", "-m", "jobsd.daemon")
_BASE = (sys.executable, "-c", "import psycopg, click")
_RUNS = 3
"""One measurement is the median of so many runs: a single run varies too much."""
_HELP = ("-h", "-V")
_ALONE = (
    "start -h",
    "list -h",
    "recurring -h",
    "db sql",
    "config show",
    "recurring explain daily",
    "generate procfile",
    "generate man",
    "stop",
    "check",
)
_ASKING = (
    "status",
    "list",
    "list --state failed",
    "list --class absent",
    "failures",
    "queues",
    "ps",
    "show 1",
    "recurring",
    "heartbeat",
    "health",
)
_COMPLETED_ALONE = ("st", "list --st", "recurring explain daily --time-zone Eur")
_COMPLETED = ("show ", "queues pause def", "list --class shop", "recurring run da")
"""Begun words that a shell completes: without a database, and by one."""
_CLASS = "shop.welcome"
_FILES = {
    "config/queue.yml": "workers: [{queues: '*', threads: 3}]\n",
    "config/recurring.yml": (
        "daily: {command: jobsd.clear_finished_in_batches, schedule: at 3am every day}\n"
    ),
}


def cases(server: Server, scale: float) -> Iterator[Case]:
    """Yield the commands without a database, then those that query a full one."""
    with tempfile.TemporaryDirectory(prefix="jobsd-benchmarks-") as folder:
        for name, text in _FILES.items():
            (Path(folder) / name).parent.mkdir(exist_ok=True)
            (Path(folder) / name).write_text(text, encoding="utf-8")
        reference = Contender("psycopg, click", partial(_run, _BASE, folder, ""))
        for words in (*_HELP, *_ALONE):
            run = partial(_run, (*_PROGRAM, *words.split()), folder, "")
            target = "ratio ≤ 0.75" if words in _HELP else "ratio ≤ 1.2"
            yield Case(words, Contender("jobsd", run), reference, target=target)
        for words in _COMPLETED_ALONE:
            run = partial(_run, _PROGRAM, folder, "", words)
            yield Case(f"complete {words}", Contender("jobsd", run), reference, target="≤ 1.2")
        with server.database() as database:
            fill(database, _CLASS, int(5_000_000 * scale), state="finished")
            fill(database, _CLASS, int(100_000 * scale), state="failed")
            fill(database, _CLASS, int(1_000_000 * scale))
            database.settle()
            for words in _ASKING:
                run = partial(_run, (*_PROGRAM, *words.split()), folder, database.url)
                yield Case(words, Contender("jobsd", run), reference, target="ratio ≤ 1.7")
            for words in _COMPLETED:
                run = partial(_run, _PROGRAM, folder, database.url, words)
                yield Case(
                    f"complete {words}", Contender("jobsd", run), reference, target="≤ 1.7"
                )


def _run(command: Sequence[str], folder: str, url: str, completed: str = "") -> Measured:
    """Measure a command, or the completion of begun words."""
    environ = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("JOBSD", "PYTHON")) and not name.endswith("DATABASE_URL")
    }
    if url:
        environ["DATABASE_URL"] = url
    if completed:
        words = completed.split(" ")
        environ |= {
            "_JOBSD_COMPLETE": "bash_complete",
            "COMP_WORDS": f"jobsd {completed}",
            "COMP_CWORD": str(len(words)),
        }
    _once(command, folder, environ)  # the first one may write the bytecode
    with _real_time():
        took = [_once(command, folder, environ) for _ in range(_RUNS)]
    return Measured({"ms": median(ms for ms, _ in took), "CPU ms": min(cpu for _, cpu in took)})


@contextlib.contextmanager
def _real_time() -> Generator[None]:
    """Run what is started meanwhile by real-time priority, if this user may."""
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(5))
    except PermissionError:
        yield
        return
    try:
        yield
    finally:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


def _once(command: Sequence[str], folder: str, environ: dict[str, str]) -> tuple[float, float]:
    """Run a command; return how long it took, and how much of a processor, in ms."""
    began, cpu_s = monotonic(), _cpu_of_children_s()
    done = subprocess.run(
        command, cwd=folder, env=environ, check=False, capture_output=True, text=True
    )
    took_ms = (monotonic() - began) * 1000
    # 1 and 3 are answers: no heartbeat yet, nothing runs here.
    if done.returncode not in {0, 1, 3} or "Traceback" in done.stderr:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}: {done.stderr}")
    return took_ms, (_cpu_of_children_s() - cpu_s) * 1000


def _cpu_of_children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
