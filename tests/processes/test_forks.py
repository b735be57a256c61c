"""What a job forks in a process of the tree: no handler of the process is its."""

from __future__ import annotations

import asyncio
import faulthandler
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from jobsd.processes.forks import original_mark
from jobsd.processes.process import listen_to_signals

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobsd.processes.context import Context

ALL = (
    *(signal.SIGTERM, signal.SIGQUIT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2),
    *(signal.SIGTTIN, signal.SIGTTOU),
)


def fork(act: Callable[[], object]) -> int:
    """Run something in a child; return its process id. It ends by 0 if that returns True."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            status = int(act() is not True)
        finally:
            os._exit(status)
    return pid


def ending_of(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def in_process(context: Context, act: Callable[[], object]) -> int:
    """Run something in a process of the tree, in a thread as jobs do; return how that ended."""

    def live() -> bool:
        listen_to_signals(context)
        answers: list[object] = []
        thread = threading.Thread(target=lambda: answers.append(act()))
        thread.start()
        thread.join(60)
        return answers == [True]

    return ending_of(fork(live))


def wait_in_c() -> None:
    lock = threading.Lock()
    lock.acquire()
    lock.acquire(timeout=30)


@pytest.mark.failure(
    "a job forks, and ends the child by TERM at once",
    "the forked process ends by it; the worker does not take the signal for its own",
)
def test_term_ends_a_copy_from_its_first_moment_on(context: Context) -> None:
    def job() -> bool:
        ends: set[int] = set()
        for _ in range(100):
            copy = fork(wait_in_c)
            os.kill(copy, signal.SIGTERM)
            ends.add(ending_of(copy))
        return ends == {-signal.SIGTERM}

    assert in_process(context, job) == 0
    assert not context.entry.leaving


def test_a_signal_to_a_forked_copy_does_not_wake_the_process(context: Context) -> None:
    def hear_term() -> bool:
        signal.signal(signal.SIGTERM, lambda _number, _frame: None)
        signal.raise_signal(signal.SIGTERM)
        return True

    def job() -> bool:
        return ending_of(fork(hear_term)) == 0 and not context.nap.take(0)

    assert in_process(context, job) == 0


def test_a_copy_has_the_handlers_of_any_program_and_nothing_held_back(
    context: Context,
) -> None:
    def has_handler() -> bool:
        return (
            all(signal.getsignal(number) is signal.SIG_DFL for number in ALL)
            and signal.getsignal(signal.SIGINT) is signal.default_int_handler
            and not signal.pthread_sigmask(signal.SIG_BLOCK, ())
            and not faulthandler.is_enabled()
        )

    def job() -> bool:
        faulthandler.enable(2)
        ended = ending_of(fork(has_handler))
        held = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        return ended == 0 and not held and signal.getsignal(signal.SIGTERM) not in {0, None}

    assert in_process(context, job) == 0


def test_a_handler_set_by_a_forked_copy_is_inherited_by_its_own_copies(
    context: Context,
) -> None:
    def heirs() -> bool:
        signal.signal(signal.SIGTERM, lambda _number, _frame: os._exit(7))

        def heir() -> None:
            signal.raise_signal(signal.SIGTERM)

        return ending_of(fork(heir)) == 7

    assert in_process(context, lambda: ending_of(fork(heirs)) == 0) == 0


def test_a_handler_of_the_authors_own_is_left_to_the_copies(context: Context) -> None:
    def live() -> bool:
        listen_to_signals(context)
        signal.signal(signal.SIGUSR1, lambda _number, _frame: os._exit(7))
        return ending_of(fork(lambda: signal.raise_signal(signal.SIGUSR1))) == 7

    assert ending_of(fork(live)) == 0


def test_a_pool_of_multiprocessing_ends_its_children(context: Context) -> None:
    def job() -> bool:
        with multiprocessing.get_context("fork").Pool(2) as pool:
            children = multiprocessing.active_children()
            found = pool.map(abs, range(-5, 0))
        # One that was between two tasks may have been told by the pool itself before.
        ends = {child.exitcode for child in children}
        return found == [5, 4, 3, 2, 1] and ends <= {0, -signal.SIGTERM}

    assert in_process(context, job) == 0
    assert not context.entry.leaving


def test_programs_are_started_and_ended_as_ever(context: Context) -> None:
    def job() -> bool:
        program = [sys.executable, "-c", "import time; print(flush=True); time.sleep(30)"]
        with subprocess.Popen(program, stdout=subprocess.PIPE) as started:
            assert started.stdout is not None
            started.stdout.readline()
            started.terminate()
            return started.wait(60) == -signal.SIGTERM

    assert in_process(context, job) == 0
    assert not context.entry.leaving


def test_asyncio_hears_of_the_end_of_its_programs(context: Context) -> None:
    async def run() -> int:
        started = await asyncio.create_subprocess_exec(sys.executable, "-c", "exit(3)")
        return await started.wait()

    assert in_process(context, lambda: asyncio.run(run()) == 3) == 0


def test_a_process_is_known_from_a_copy_of_it() -> None:
    mark = original_mark()

    assert ending_of(fork(lambda: mark[0] == 0)) == 0
    assert mark[0] == 1


# In a program of one thread: a copy made by C may wait without end until another thread, which
# it does not have, takes the interpreter's lock.
COPIED_BY_C = """\
import ctypes, os
from jobsd.processes.forks import original_mark

mark = original_mark()
pid = ctypes.PyDLL(None).fork()
if pid == 0:
    os._exit(mark[0])
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), mark[0])
"""


def test_a_process_is_known_from_a_copy_that_c_made() -> None:
    done = subprocess.run(
        [sys.executable, "-c", COPIED_BY_C], check=True, capture_output=True, timeout=60
    )

    assert done.stdout.split() == [b"0", b"1"]


def test_where_the_kernel_clears_no_page_python_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobsd.processes.forks._MADV_WIPEONFORK", -1)
    mark = original_mark()

    assert ending_of(fork(lambda: mark[0] == 0)) == 0
    assert mark[0] == 1
