"""Runs a function in a child process and waits for it.

The supervisor never has a connection, a thread or a module of the user's: what is needed
of these before the first fork leaves nothing behind in it.
"""

import os
import signal
import sys
from collections.abc import Callable
from typing import NoReturn

from jobsd.supervisor.kernel import die_with_parent


def in_child(work: Callable[[], int], deadline_s: float | None = None) -> int:
    """Run `work` in a forked child and return its exit status; 128 + N for a signal N.

    With `deadline_s` it is killed when it takes longer than that.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        _live(work, parent, deadline_s)
    _, status = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _live(work: Callable[[], int], parent: int, deadline_s: float | None) -> NoReturn:
    status = 1
    try:
        die_with_parent(signal.SIGTERM)
        if os.getppid() != parent:
            os._exit(1)
        if deadline_s is not None:
            # By its default action it ends the process whatever that waits for.
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
