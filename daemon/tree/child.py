"""Runs a function in a child process and waits for it.

The supervisor never has a connection, a thread or a module of the user's: work before the first
fork that needs them runs in a child, which leaves none of them behind.
"""

import fcntl
import os
import signal
import sys
from collections.abc import Callable
from typing import NoReturn


def in_child(work: Callable[[], int], deadline_s: float | None = None) -> int:
    """Run `work` in a forked child and return its exit status; 128 + N for a signal N.

    With `deadline_s` it is killed if it takes longer than that.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    parent = os.getpid()
    life, held = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(held)
        _live(work, parent, life, deadline_s)
    os.close(life)
    try:
        _, status = os.waitpid(pid, 0)
    finally:
        os.close(held)
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _live(
    work: Callable[[], int], parent: int, life: int, deadline_s: float | None
) -> NoReturn:
    status = 1
    try:
        _die_at_the_end_of(life)
        if os.getppid() != parent:
            os._exit(1)
        if deadline_s is not None:
            # The default action ends the process even in a wait.
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.setitimer(signal.ITIMER_REAL, deadline_s)
        status = work()
    except BaseException as fault:  # noqa: BLE001 - it is the end of the process
        from .exits import report

        status = report(fault)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _die_at_the_end_of(pipe: int) -> None:
    """Have the kernel end this process when no process holds the other end of a pipe any more.

    By its default action SIGIO ends a process even in a wait. `prctl` does the same
    (`supervisor.kernel`), but its caller takes 2 ms to load.
    """
    fcntl.fcntl(pipe, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(pipe, fcntl.F_SETFL, os.O_ASYNC)
