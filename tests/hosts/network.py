"""Hosts of a test's own: names, addresses, processes and a network that can be cut.

Each host is a set of namespaces (network, process ids, mounts, host name), held by a
process that ends with the test run, and everything in them with it. A switch connects
them, in a namespace where the database lives: the machine's own network is not touched,
and the test reaches the database by its socket.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from harness.tree import COMMAND, Tree
from outages.cluster import Cluster, cluster
from waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Generator

    from harness.project import Project

SERVER = "10.77.0.1"
_TOOLS = ("ip", "unshare", "nsenter", "setpriv")
_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


@dataclass(slots=True)
class Host:
    """One host; `port` is its place at the switch."""

    name: str
    address: str
    port: str
    _holder: subprocess.Popen[bytes]
    _switch: Switch

    @property
    def pid(self) -> int:
        """The first process of the host, seen from outside."""
        return psutil.Process(self._holder.pid).children()[0].pid

    @property
    def prefix(self) -> list[str]:
        """The head of a command that runs on the host."""
        return ["nsenter", f"--target={self.pid}", "--net", "--pid", "--mount", "--uts", "--"]

    @contextlib.contextmanager
    def start(self, project: Project, **environ: str) -> Generator[HostTree]:
        """Start a tree on the host; nothing is left of it after the block."""
        command = [*self.prefix, *COMMAND, "start"]
        tree = HostTree(command, project.root, {**project.environ, **environ})
        try:
            yield tree
        finally:
            tree.end()

    def lose(self) -> None:
        """Let every packet from and to the host get lost; the cable looks well."""
        self._switch.ip("link", "set", self.port, "nomaster")

    def find(self) -> None:
        """Let packets through again."""
        self._switch.ip("link", "set", self.port, "master", "switch")

    def unplug(self) -> None:
        """Pull the cable."""
        self._switch.ip("link", "set", self.port, "down")

    def plug(self) -> None:
        """Put it back."""
        self._switch.ip("link", "set", self.port, "up")


class HostTree(Tree):
    """A tree on a host: the process that we started only waits for the supervisor."""

    def everybody(self) -> list[int]:
        """Return the processes of the tree."""
        return [child.pid for child in self.children("")]

    def freeze(self) -> None:
        """Stop all of its processes."""
        for pid in self.everybody():
            os.kill(pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let them go on."""
        for pid in self.everybody():
            os.kill(pid, signal.SIGCONT)


@dataclass(slots=True)
class Switch:
    """The network between the hosts, and the database in it."""

    holder: subprocess.Popen[bytes]
    hosts: list[Host] = field(default_factory=list[Host])

    @property
    def prefix(self) -> list[str]:
        """The head of a command that runs beside the switch."""
        return ["nsenter", f"--target={self.holder.pid}", "--net", "--"]

    def ip(self, *arguments: str, prefix: list[str] | None = None) -> None:
        """Change the network."""
        chosen = self.prefix if prefix is None else prefix
        subprocess.run([*chosen, "ip", *arguments], check=True, env={"PATH": _PATH})


@dataclass(slots=True)
class Network:
    """A database and the hosts that reach it."""

    switch: Switch
    database: Cluster

    @property
    def url(self) -> str:
        """The database, for the hosts."""
        return f"postgresql://jobsd@{SERVER}:{self.database.port}/postgres"

    @contextlib.contextmanager
    def host(self, name: str) -> Generator[Host]:
        """A host that is gone after the block."""
        apart = ("--net", "--uts", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
        switch = self.switch
        with _held(*apart) as holder:
            wait_until(lambda: psutil.Process(holder.pid).children(), what="the first process")
            # A new port for each: that of a host that is gone goes a moment later.
            number = len(switch.hosts) + 2
            host = Host(name, f"10.77.0.{number}", f"port{number}", holder, switch)
            wait_until(lambda: _apart(host.pid, "pid"), what="namespaces")
            switch.hosts.append(host)
            named = f"echo {name} > /proc/sys/kernel/hostname"
            subprocess.run([*host.prefix, "sh", "-c", named], check=True)
            peer = ("type", "veth", "peer", "name", "eth0", "netns", str(host.pid))
            switch.ip("link", "add", host.port, *peer)
            switch.ip("link", "set", host.port, "master", "switch", "up")
            switch.ip("link", "set", "lo", "up", prefix=host.prefix)
            switch.ip("address", "add", f"{host.address}/24", "dev", "eth0", prefix=host.prefix)
            switch.ip("link", "set", "eth0", "up", prefix=host.prefix)
            yield host


@contextlib.contextmanager
def network() -> Generator[Network]:
    """A network with a database in it; skips where there is no right to make one."""
    missing = [tool for tool in _TOOLS if shutil.which(tool, path=_PATH) is None]
    if missing or os.geteuid():
        pytest.skip(f"needs root, and {', '.join(_TOOLS)}")
    with _held("--net") as holder:
        wait_until(lambda: holder.poll() is not None or _apart(holder.pid, "net"))
        if holder.poll() is not None:
            pytest.skip("needs the right to make network namespaces")
        switch = Switch(holder)
        switch.ip("link", "add", "switch", "type", "bridge")
        switch.ip("address", "add", f"{SERVER}/24", "dev", "switch")
        switch.ip("link", "set", "switch", "up")
        with cluster(switch.prefix, listen_addresses=SERVER) as database:
            database.start()
            yield Network(switch, database)


@contextlib.contextmanager
def _held(*apart: str) -> Generator[subprocess.Popen[bytes]]:
    """Namespaces for as long as the block lasts."""
    ends_with_us = ("setpriv", "--pdeathsig", "KILL", "--")
    command = [*ends_with_us, "unshare", *apart, "sleep", "infinity"]
    holder = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield holder
    finally:
        holder.kill()
        holder.wait(10)


def _apart(pid: int, kind: str) -> bool:
    """Return whether a process has a namespace of its own."""
    with contextlib.suppress(OSError):
        theirs = Path(f"/proc/{pid}/ns/{kind}").readlink()
        return theirs != Path(f"/proc/self/ns/{kind}").readlink()
    return False
