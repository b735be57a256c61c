"""What Python's own streams and C's keep back is told while its job runs."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys

import pytest

from jobsd.logs.pipes import Descriptors, Pipes
from jobsd.logs.printed import LINE_MAX

PROGRAM = """
import ctypes, os, sys
from jobsd.logs import logs, pipes
from jobsd.logs.pipes import Pipes

logs.configure("json", "info", kind="worker", name="worker-1")
logs.take_prints()
logs.take_descriptors(Pipes.make(), lambda: 7)
libc = ctypes.CDLL(None)
if "python" in sys.argv:
    print("a line", file=sys.__stdout__)
else:
    libc.puts(b"a line")
sys.stdin.readline()
if "python" in sys.argv:
    print("no line", end="", file=sys.__stdout__)
else:
    libc.printf(b"no line")
pipes.flush_streams()
logs.finish()
os._exit(0)
"""


@pytest.mark.parametrize("by", ["python", "c"])
@pytest.mark.failure(
    "A job prints past our streams, by `sys.__stdout__` or by C's printf, which buffers it",
    "Each line is logged at once, while the job runs, and an unfinished line at the end of"
    " the process.",
)
def test_a_printed_line_is_logged_at_once_and_the_rest_at_exit(by: str) -> None:
    # With this set nothing is kept; nobody sets it for a daemon.
    environ = {name: text for name, text in os.environ.items() if name != "PYTHONUNBUFFERED"}
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, by],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environ,
        text=True,
    ) as program:
        assert program.stdin is not None
        assert program.stdout is not None
        first = json.loads(program.stdout.readline())
        program.stdin.write("\n")
        program.stdin.close()
        last = json.loads(program.stdout.readline())

    assert [(line["event"], line["job_id"]) for line in (first, last)] == [
        ("a line", 7),
        ("no line", 7),
    ]


def test_a_line_that_can_not_be_logged_costs_no_other_line() -> None:
    logged: list[tuple[int, str]] = []

    def log_line(number: int, line: str) -> None:
        if line == "bad":
            raise ValueError(line)
        logged.append((number, line))

    with contextlib.closing(Pipes()) as none:
        reader = Descriptors(log_line, none)
    reader._unfinished[1] = b"be"
    reader._take(1, b"fore\nbad\nbehind\n")

    assert logged == [(1, "before"), (1, "behind")]


def test_output_without_ends_of_lines_is_logged_in_pieces() -> None:
    logged: list[str] = []
    with contextlib.closing(Pipes()) as none:
        reader = Descriptors(lambda _, line: logged.append(line), none)
    reader._unfinished[1] = b""

    for _ in range(5):
        reader._take(1, b"x" * LINE_MAX)

    assert logged == ["x" * 2 * LINE_MAX] * 2
    assert reader._unfinished[1] == b"x" * LINE_MAX
