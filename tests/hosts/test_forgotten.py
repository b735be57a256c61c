"""A program on a host whose idle connections lead nowhere any more."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from jobsd.enqueueing.client import QUIET_S
from waiting import let_pass

if TYPE_CHECKING:
    from collections.abc import Callable

    from hosts.network import Host, Network

pytestmark = pytest.mark.system

_PROGRAM = """
import sys, time
from jobsd import configure, job
from jobsd.enqueueing import client

@job
def note(n): ...

configure(sys.argv[1])
for line in sys.stdin:
    began = time.monotonic()
    said = note.enqueue(int(line)).state
    print(said, round(time.monotonic() - began, 1), flush=True)
"""


@pytest.mark.failure(
    "The network forgets a program's connection, because the address that it was made from is"
    " gone",
    "After a pause of ten seconds or more an enqueue takes a second and raises no error; the"
    " job is stored once",
)
def test_an_enqueue_after_a_pause_reaches_the_new_host(
    net: Network, query: Callable[[str], list[tuple[object, ...]]]
) -> None:
    with net.host("alpha") as host:
        command = [*host.prefix, sys.executable, "-c", _PROGRAM, net.url]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as program:
            assert program.stdin is not None
            assert program.stdout is not None
            print(1, file=program.stdin, flush=True)
            assert program.stdout.readline().startswith("ready")
            _move(host)
            let_pass(QUIET_S + 0.5)

            print(2, file=program.stdin, flush=True)

            state, took_s = program.stdout.readline().split()
            program.stdin.close()
        assert (state, float(took_s) < 4) == ("ready", True)
        assert query("SELECT arguments -> 0 FROM jobsd.jobs ORDER BY id") == [(1,), (2,)]


def _move(host: Host) -> None:
    """Give the host another address: what comes for the old one goes nowhere."""
    for words in (("del", f"{host.address}/24"), ("add", "10.77.0.200/24")):
        subprocess.run([*host.prefix, "ip", "address", *words, "dev", "eth0"], check=True)
