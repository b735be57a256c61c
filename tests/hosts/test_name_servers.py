"""Name servers that do not answer kill no process, and keep none from the database."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from hosts.network import SERVER
from system.jobs import enqueue, ledger, let_go
from waiting import let_pass, wait_until

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from harness.project import Project
    from hosts.network import Host, HostTree, Network
    from rows import Query

pytestmark = pytest.mark.system

QUEUE = """
import: [trial_jobs]
supervisor: {heartbeat_interval: 0.5, process_alive_threshold: 2.5}
"""
HANGS_S = 5.0
"""When a process that does not tick is killed: by the least `hang_timeout`."""
CUT = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE application_name LIKE 'jobsd %' AND pid <> pg_backend_pid()
"""
DEATHS = ("process.hung", "process.killed", "process.exited", "process.crashed")
_NAME_SERVER = """
import os, socket, sys
wire = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
wire.bind(("0.0.0.0", 53))
print("up", flush=True)
while True:
    asked, who = wire.recvfrom(512)
    if os.path.exists(sys.argv[1]):
        end = asked.index(b"\\0", 12) + 5
        is_ipv4 = asked[end - 4 : end - 2] == b"\\0\\1"
        counts = b"\\0\\1" + (b"\\0\\1" if is_ipv4 else b"\\0\\0") + bytes(4)
        found = b"\\xc0\\x0c\\0\\1\\0\\1\\0\\0\\0\\1\\0\\4" + socket.inet_aton(sys.argv[2])
        answer = asked[:2] + b"\\x81\\x80" + counts + asked[12:end]
        wire.sendto(answer + (found if is_ipv4 else b""), who)
"""


@contextlib.contextmanager
def _name_server(host: Host, folder: Path) -> Generator[Path]:
    """A name server of the host's own; it answers while the file that this gives is there."""
    resolver, switch = folder / "resolv.conf", folder / "nsswitch.conf"
    # Three servers and a list of domains, as in a cluster: a look-up takes a minute and more.
    servers = "".join(f"nameserver 127.0.0.{number}\n" for number in (1, 2, 3))
    resolver.write_text(f"{servers}search a.test b.test c.test\n", encoding="utf-8")
    switch.write_text("hosts: files dns\n", encoding="utf-8")
    for file in (resolver, switch):
        subprocess.run(
            [*host.prefix, "mount", "--bind", str(file), f"/etc/{file.name}"], check=True
        )
    answers = folder / "answers"
    answers.touch()
    program = [sys.executable, "-c", _NAME_SERVER, str(answers), SERVER]
    with subprocess.Popen([*host.prefix, *program], stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == b"up\n"
        try:
            yield answers
        finally:
            server.kill()


def _url(net: Network) -> str:
    return net.url.replace(SERVER, "db.example")


def _deaths(tree: HostTree) -> list[str]:
    return [event["event"] for event in tree.events() if event["event"] in DEATHS]


@pytest.mark.failure(
    "The name servers of a host do not answer; its connections are cut, and then its network.",
    "Processes connect to the last address of the database. None is killed, running jobs"
    " continue, and the outage is reported once.",
)
def test_silent_name_servers_kill_no_process(
    net: Network, project: Project, query: Query
) -> None:
    project.write("config/queue.yml", QUEUE)
    with (
        net.host("alone") as host,
        _name_server(host, project.root) as answers,
        host.start(project, DATABASE_URL=_url(net)) as tree,
    ):
        tree.wait_event("supervisor.ready")
        during = enqueue(query, "held", 1)
        wait_until(lambda: "began 1" in ledger(project), what=tree.reported)

        answers.unlink()
        query(CUT)
        enqueue(query, "quick", 2)
        wait_until(lambda: "ran 2" in ledger(project), what=tree.reported)

        host.lose()
        query(CUT)
        tree.wait_event("database.unavailable")
        let_pass(2 * HANGS_S)
        host.find()
        tree.wait_event("database.available")
        let_go(project)
        finished = (
            f"SELECT attempts FROM jobsd.jobs WHERE id = {during} AND outcome = 'finished'"
        )
        wait_until(lambda: query(finished) == [(1,)], what=tree.reported)

        assert _deaths(tree) == []
        tree.wait_only_event("database.unavailable")


@pytest.mark.failure(
    "A process is replaced while the name servers do not answer.",
    "The successor knows no address: it waits, is not killed, and connects once they answer.",
)
def test_a_successor_waits_for_silent_name_servers(
    net: Network, project: Project, query: Query
) -> None:
    project.write("config/queue.yml", QUEUE)
    with (
        net.host("alone") as host,
        _name_server(host, project.root) as answers,
        host.start(project, DATABASE_URL=_url(net)) as tree,
    ):
        tree.wait_event("supervisor.ready")
        answers.unlink()
        (worker,) = tree.children("worker")
        worker.kill()
        tree.wait_event("process.replaced")
        outage = tree.wait_event("database.unavailable")
        let_pass(2 * HANGS_S)
        assert "name not resolved within 5 s" in outage["error"]["message"]

        answers.touch()
        enqueue(query, "quick", 1)
        wait_until(lambda: "ran 1" in ledger(project), what=tree.reported)
        # The one that was killed, and no other.
        assert _deaths(tree) == ["process.exited"]


def test_a_program_and_a_command_are_refused_in_time(
    net: Network, project: Project, query: Query
) -> None:
    with net.host("alone") as host, _name_server(host, project.root) as answers:
        answers.unlink()
        environ = {**project.environ, "DATABASE_URL": _url(net)}
        program = (
            f"import sys; sys.path.insert(0, {str(project.root)!r})\n"
            "import jobsd, asyncio, trial_jobs\n"
            "for enqueue in (trial_jobs.quick.enqueue,"
            " lambda n: asyncio.run(trial_jobs.quick.aenqueue(n))):\n"
            "    try: enqueue(1)\n"
            "    except jobsd.DatabaseUnreachableError as error: print(error)\n"
        )
        done = subprocess.run(
            [*host.prefix, sys.executable, "-c", program],
            cwd=project.root,
            env=environ,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        command = subprocess.run(
            [*host.prefix, sys.executable, "-P", "-m", "jobsd.daemon", "queues"],
            cwd=project.root,
            env=environ,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    assert done.stdout.count("name not resolved within 5 s") == 2, done.stderr
    assert command.returncode == 4, command.stderr
    assert query("SELECT FROM jobsd.jobs") == []
