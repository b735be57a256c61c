"""The console: what its prompt shows, knows, completes and remembers."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
from typing import TYPE_CHECKING

import pytest

from harness.tree import COMMAND

if TYPE_CHECKING:
    from jobsd.database.connection import Session
    from system.commands import Commands

TIME = r"'\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ'"
STUB = "def {called}(**given):\n    print('stub', *sorted(given), given[{names!r}]['queues'])\n"


def _at_the_prompt(run: Commands, *typed: str, **environ: str) -> str:
    """Return what a terminal shows once these were typed, each at a new prompt."""
    ours, theirs = os.openpty()
    known = {key: value for key, value in run.project.environ.items() if key != "COLUMNS"}
    home = {"HOME": str(run.project.root), "XDG_STATE_HOME": "", "TERM": "dumb"}
    shown = ""
    with subprocess.Popen(
        ["setsid", "--ctty", *COMMAND, "console"],
        cwd=run.project.root,
        env={**known, **home, **environ},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    ) as console:
        os.close(theirs)
        try:
            # Where the console has ended, so has its terminal.
            with contextlib.suppress(OSError):
                for prompts, each in enumerate(typed, 1):
                    while shown.count(">>> ") < prompts:
                        shown += os.read(ours, 65536).decode()
                    os.write(ours, each.encode())
                while read := os.read(ours, 65536):
                    shown += read.decode()
            assert console.wait(30) == 0, shown
        finally:
            console.kill()
            os.close(ours)
    return shown.replace("\r", "")


def _console(run: Commands, program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, "console"],
        cwd=run.project.root,
        env=run.project.environ,
        input=program,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_heartbeat_prints_as_one_line_with_its_time(run: Commands, session: Session) -> None:
    assert session
    run("perform", "HeartbeatJob", "--quiet")

    printed = _console(run, "print(repr(HeartbeatLog.latest()), HeartbeatLog.recent())").stdout

    form = rf"<HeartbeatLog id=\d+, executed_at={TIME}, environment='\w+', hostname='[^']+'>"
    assert re.fullmatch(rf"{form} \[{form}\]\n", printed)


def test_a_task_and_a_job_print_as_one_line_without_internals(run: Commands) -> None:
    words = ("--class", "HeartbeatJob", "--schedule", "every 5 minutes")
    run("recurring", "add", "beat", *words)
    job_id = run.json("enqueue", "HeartbeatJob")["id"]

    program = f"print(RecurringTask.all(), jobsd.find({job_id}))"

    assert _console(run, program).stdout == (
        "[<RecurringTask key='beat', schedule='every 5 minutes', class_name='HeartbeatJob'>]"
        f" <JobInfo id={job_id}, class_name='HeartbeatJob', queue_name='default',"
        " state='ready', attempts=0, reason='no_worker'>\n"
    )


def test_the_banner_names_each_object_once(run: Commands) -> None:
    shown = _at_the_prompt(run, "exit()\n")

    banner = shown.partition(">>> ")[0]
    words = re.findall(r"\w+", banner)
    for name in ("HeartbeatLog", "RecurringTask", "queues", "HeartbeatJob", "welcome"):
        assert words.count(name) == 1, banner
    assert max(map(len, banner.splitlines())) <= 80


def test_the_prompt_completes_names_and_remembers_lines(run: Commands) -> None:
    completed = _at_the_prompt(run, "print(queu\t.__name__, 4711)\nexit()\n")
    history = run.project.root / ".local/state/jobsd/console_history"

    assert "jobsd.acts.queues 4711" in completed
    assert history.stat().st_mode & 0o077 == 0
    assert "print(queues.__name__, 4711)" in history.read_text()
    assert "jobsd.acts.queues 4711" in _at_the_prompt(run, "\x10\x10\nexit()\n")


def test_a_prompt_without_a_place_for_its_history_works(run: Commands) -> None:
    assert "42\n" in _at_the_prompt(run, "6 * 7\nexit()\n", HOME="/proc/nowhere")


@pytest.mark.parametrize(
    ("code", "status", "printed"), [("", 0, ""), ("3", 3, ""), ("'no'", 1, "no\n")]
)
def test_a_program_ends_with_its_own_status(
    run: Commands, code: str, status: int, printed: str
) -> None:
    done = _console(run, f"import sys; sys.exit({code})")

    assert (done.returncode, done.stderr) == (status, printed)


def test_an_interrupt_at_the_prompt_does_not_end_it(run: Commands) -> None:
    shown = _at_the_prompt(run, "abc\x03", "6 * 7\nexit()\n")

    assert "KeyboardInterrupt" in shown
    assert "42\n" in shown


@pytest.mark.parametrize(
    ("module", "called", "names"),
    [("IPython", "start_ipython", "user_ns"), ("ptpython.repl", "embed", "globals")],
)
def test_another_prompt_is_used_where_it_is_installed(
    run: Commands, module: str, called: str, names: str
) -> None:
    path = module.replace(".", "/") + ".py"
    run.project.write(path, STUB.format(called=called, names=names))
    if "." in module:
        run.project.write("ptpython/__init__.py", "")

    shown = _at_the_prompt(run)

    assert f"{names}" in shown.partition("stub")[2]
    assert "module 'jobsd.acts.queues'" in shown
