"""The child that imports the user's modules: nothing that they do harms who asks for it."""

from __future__ import annotations

import signal
import subprocess
from typing import TYPE_CHECKING

import pytest

from harness.tree import COMMAND

if TYPE_CHECKING:
    from harness.project import Project
    from system.commands import Commands

WAIT_S = 60.0


@pytest.mark.parametrize(
    ("module", "status"),
    [
        ("import os\nos._exit(9)\n", 9),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n", 139),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n", 137),
    ],
    ids=["ends", "crashes", "is killed"],
)
def test_a_module_that_ends_the_process_is_a_fault(
    run: Commands, module: str, status: int
) -> None:
    run.project.write("shop_jobs.py", module)

    [fault] = run.json("check", status=78)["faults"]

    assert fault["message"] == f"importing shop_jobs ended the process with status {status}"


def test_a_module_may_print_leave_threads_and_close_our_streams(run: Commands) -> None:
    run.project.write(
        "shop_jobs.py",
        "import os, sys, threading, time\n"
        "print('printed')\n"
        "threading.Thread(target=time.sleep, args=[1000]).start()\n"
        "os.close(0)\n"
        "os.chdir('/')\n"
        "sys.stdout = None\n",
    )

    assert run.json("check")["valid"]


def test_the_child_ends_with_its_parent_though_the_module_hangs(project: Project) -> None:
    project.write(
        "shop_jobs.py",
        "import signal, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "print('hangs', file=sys.stderr, flush=True)\n"
        "time.sleep(1000)\n",
    )
    project.write("config/queue.yml", "import: [shop_jobs]\n")
    with subprocess.Popen(
        [*COMMAND, "check"],
        cwd=project.root,
        env=project.environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as parent:
        assert parent.stderr is not None
        assert parent.stderr.readline() == "hangs\n"
        parent.send_signal(signal.SIGKILL)

        # The end of its output comes once the child does not hold it any more, either.
        assert parent.communicate(timeout=WAIT_S) == ("", "")
