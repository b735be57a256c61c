"""A virtual machine with a kernel of its own: control groups with limits, a clock to be set.

It sees this machine's files, read-only, below an overlay, and boots the systemd that is
installed here. The processor is emulated: that takes no more than qemu and virtiofsd, and
is slow. Its kernel and the busybox of its first program come from JOBSD_TEST_KERNEL, a
folder into which Debian's packages were unpacked:

    apt-get download linux-image-VERSION-cloud-amd64 busybox-static
    for package in *.deb; do dpkg -x $package FOLDER; done
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from waiting import wait_until

from .box import Inside
from .cradle import MASKED
from .ramdisk import ramdisk

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_QEMU = "qemu-system-x86_64"
_SHARER = "/usr/libexec/virtiofsd"
_MEMORY = "2G"
_AGENT = Path(__file__).with_name("agent.py")
_BOOT_S = 180.0
_SLOWER = 5.0
"""What takes a second on this machine takes so many there, and more."""

_FIRST = """\
#!/busybox sh
/busybox mkdir -p /proc /low /up /new
/busybox mount -t proc proc /proc
/busybox insmod /overlay
/busybox mount -t virtiofs -o ro root /low
/busybox mount -t tmpfs up /up
/busybox mkdir /up/upper /up/work
/busybox mount -t overlay -o lowerdir=/low,upperdir=/up/upper,workdir=/up/work up /new
/busybox mount -t tmpfs run /new/run
/busybox mkdir /new/run/outside
/busybox mount -t virtiofs outside /new/run/outside
{binds}
/busybox cp /agent.service /new/etc/systemd/system/
/busybox umount /proc
exec /busybox switch_root /new /lib/systemd/systemd
"""
_UNIT = """\
[Service]
ExecStart={python} -I {agent} /run/outside
Environment=PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
Environment=LANG=C.UTF-8 SYSTEMD_COLORS=0
"""


def why_not() -> str:
    """Return why no machine can be made here, or nothing."""
    if os.geteuid() != 0:
        return "a virtual machine that sees all files takes root"
    for program in (_QEMU, _SHARER):
        if shutil.which(program) is None:
            return f"{program} is not installed"
    return "" if os.environ.get("JOBSD_TEST_KERNEL") else "JOBSD_TEST_KERNEL is not set"


class Machine(Inside):
    """A booted machine, `folder` is for its files; `binds` as for a box."""

    def __init__(self, folder: Path, binds: Mapping[Path, str]) -> None:
        self._console = folder / "console"
        self._outside = folder / "outside"
        self._outside.mkdir()
        self._number = 0
        kit = Path(os.environ["JOBSD_TEST_KERNEL"])
        (kernel,) = kit.glob("boot/vmlinuz-*")
        initrd = folder / "initrd"
        initrd.write_bytes(ramdisk(kit, ("overlay",), _programs(binds)))
        sockets = {"root": folder / "root", "outside": folder / "shared"}
        shares = {"root": Path("/"), "outside": self._outside}
        self._started = [
            self._start(_share(sockets[tag], shares[tag], read_only=tag == "root"))
            for tag in sockets
        ]
        wait_until(lambda: all(path.exists() for path in sockets.values()), what=self._reported)
        self._started.append(self._start(_command(kernel, initrd, sockets)))
        try:
            state = ("systemctl", "is-system-running", "--wait")
            assert self._do(state, "", _BOOT_S / _SLOWER).stdout.strip() in {
                "running",
                "degraded",
            }
            self.run("ip", "link", "set", "lo", "up")
            self.run("date", "--set", f"{datetime.now(UTC):%F %T} UTC")
        except BaseException:
            self.end()
            raise

    def end(self) -> None:
        """Pull the plug."""
        for process in reversed(self._started):
            process.kill()
            process.wait(10)

    def _start(self, command: Sequence[str]) -> subprocess.Popen[bytes]:
        with self._console.open("ab") as console:
            return subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "--", *command],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
            )

    def _do(
        self, words: Sequence[str], stdin: str, within_s: float
    ) -> subprocess.CompletedProcess[str]:
        self._number += 1
        new, request, answer = (
            self._outside / f"{self._number}.{kind}" for kind in ("asked", "request", "answer")
        )
        new.write_text(json.dumps([words, stdin]), encoding="utf-8")
        new.rename(request)
        wait_until(
            lambda: answer.exists() or not self._runs(), within_s * _SLOWER, self._reported
        )
        assert answer.exists(), self._reported()
        return subprocess.CompletedProcess(words, *json.loads(answer.read_text("utf-8")))

    def _runs(self) -> bool:
        return all(process.poll() is None for process in self._started)

    def _reported(self) -> str:
        return self._console.read_text(encoding="utf-8", errors="replace")[-3000:]


def _programs(binds: Mapping[Path, str]) -> dict[str, str]:
    """Return the texts that the first program needs, and its own."""
    lines = [
        f"/busybox mkdir -p /new{place}\n/busybox mount -o bind /low{source} /new{place}"
        for source, place in binds.items()
    ]
    return {
        "init": _FIRST.format(binds="\n".join(lines)),
        "agent.service": _UNIT.format(python=sys.executable, agent=_AGENT),
    }


def _share(socket: Path, folder: Path, *, read_only: bool) -> list[str]:
    words = ("--socket-path", str(socket), "--shared-dir", str(folder), "--sandbox", "none")
    # An overlay goes into no mount that was announced.
    more = ("--no-announce-submounts", "--log-level", "error", "--cache")
    return [_SHARER, *words, *more, *(["always", "--readonly"] if read_only else ["never"])]


def _command(kernel: Path, initrd: Path, sockets: Mapping[str, Path]) -> list[str]:
    shares: list[str] = []
    for tag, path in sockets.items():
        shares += ["-chardev", f"socket,id={tag},path={path}"]
        shares += ["-device", f"vhost-user-fs-pci,chardev={tag},tag={tag}"]
    memory = f"memory-backend-memfd,id=memory,size={_MEMORY},share=on"
    masked = " ".join(f"systemd.mask={unit}" for unit in MASKED)
    words = (
        "console=ttyS0 panic=-1 quiet rdinit=/init systemd.unit=basic.target mitigations=off"
        f" systemd.wants=agent.service systemd.show_status=no {masked}"
    )
    return [
        *(_QEMU, "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", _MEMORY),
        *("-object", memory, "-numa", "node,memdev=memory", *shares),
        *("-nographic", "-no-reboot", "-nic", "none"),
        *("-kernel", str(kernel), "-initrd", str(initrd), "-append", words),
    ]
