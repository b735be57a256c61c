"""Process 1 of a box: makes it a machine of its own out of this one, and becomes systemd.

Run by `box`, as a program, in new namespaces. The root is an overlay of this machine's
own: all that is installed here is there, and what is written there goes with it. What is
not only the box's (the kernel's settings, the devices) is shown read-only or not at all.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
from pathlib import Path

SYSTEMD = "/lib/systemd/systemd"
_READ_ONLY, _BIND, _REMOUNT, _RECURSIVE = 0x1, 0x1000, 0x20, 0x4000
_DETACH = 2
_LIBC = ctypes.CDLL(None, use_errno=True)

# What a machine does at boot that a box has no use for, or must not do: sysctl and modules
# are the kernel's, and tmp.mount would hide the files of the tests.
MASKED = """
    modprobe@.service tmp.mount dev-hugepages.mount dev-mqueue.mount sys-kernel-debug.mount
    sys-kernel-tracing.mount sys-fs-fuse-connections.mount sys-kernel-config.mount
    systemd-sysctl.service systemd-modules-load.service systemd-remount-fs.service
    systemd-udevd.service systemd-udev-trigger.service systemd-udev-load-credentials.service
    systemd-update-done.service systemd-journal-catalog-update.service ldconfig.service
    systemd-tmpfiles-clean.timer systemd-firstboot.service systemd-sysusers.service
    systemd-hwdb-update.service systemd-tmpfiles-setup-dev.service systemd-binfmt.service
    systemd-tmpfiles-setup-dev-early.service proc-sys-fs-binfmt_misc.automount apt-daily.timer
    apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer fstrim.timer logrotate.timer
    man-db.timer
""".split()

_JOURNAL = "[Journal]\nStorage=volatile\nRateLimitIntervalSec=0\nSyncIntervalSec=1s\n"
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def main() -> None:
    """Build the box in the folder that was given, and become its systemd."""
    folder, binds = Path(sys.argv[1]), json.loads(sys.argv[2])
    root = _overlay(folder)
    _kernel_files(root)
    _devices(root / "dev")
    _mount("run", root / "run", "tmpfs", options="mode=755")
    (root / "run/systemd/system").mkdir(parents=True)
    for source, place in binds.items():
        _bind(Path(source), root / place.lstrip("/"))
    _configure(root / "etc/systemd")
    _enter(root)
    environ = {"PATH": _PATH, "container": "box", "LANG": "C.UTF-8"}
    words = ["--system", "--unit=basic.target", "--log-target=journal", "--show-status=no"]
    os.execve(SYSTEMD, [SYSTEMD, *words], environ)  # noqa: S606 - a process without a shell is meant


def _overlay(folder: Path) -> Path:
    _mount("box", folder, "tmpfs", options="mode=755")
    upper, work, root = (folder / name for name in ("upper", "work", "root"))
    for made in (upper, work, root):
        made.mkdir()
    _mount("box", root, "overlay", options=f"lowerdir=/,upperdir={upper},workdir={work}")
    return root


def _kernel_files(root: Path) -> None:
    _mount("proc", root / "proc", "proc")
    # Invariant: the whole machine shares what lies here. A systemd that may write it has
    # once set fs.nr_open for everybody.
    _bind(root / "proc/sys", root / "proc/sys", read_only=True)
    if (root / "proc/sysrq-trigger").exists():
        _bind(Path("/dev/null"), root / "proc/sysrq-trigger")
    try:
        _mount("sysfs", root / "sys", "sysfs", _READ_ONLY)
    except OSError:
        _bind(Path("/sys"), root / "sys")
    # Of the control groups only ours is to be seen: their namespace is new.
    _mount("cgroup2", root / "sys/fs/cgroup", "cgroup2")


def _devices(dev: Path) -> None:
    _mount("dev", dev, "tmpfs", options="mode=755")
    for name in ("null", "zero", "full", "random", "urandom", "tty"):
        _bind(Path("/dev", name), dev / name)
    (dev / "pts").mkdir()
    _mount("devpts", dev / "pts", "devpts", options="newinstance,ptmxmode=0666")
    (dev / "shm").mkdir()
    _mount("shm", dev / "shm", "tmpfs", options="mode=1777")
    links = {"ptmx": "pts/ptmx", "fd": "/proc/self/fd"}
    links |= {name: f"fd/{number}" for number, name in enumerate(("stdin", "stdout", "stderr"))}
    for name, target in links.items():
        (dev / name).symlink_to(target)


def _configure(etc: Path) -> None:
    (etc / "system").mkdir(parents=True, exist_ok=True)
    for name in MASKED:
        (etc / "system" / name).unlink(missing_ok=True)
        (etc / "system" / name).symlink_to("/dev/null")
    (etc / "journald.conf.d").mkdir(exist_ok=True)
    (etc / "journald.conf.d/box.conf").write_text(_JOURNAL, encoding="ascii")


def _enter(root: Path) -> None:
    """Make `root` the root; the machine's own is out of reach from then on."""
    os.chdir(root)
    Path("mnt").mkdir(exist_ok=True)
    _checked(_LIBC.syscall(_PIVOT_ROOT, b".", b"mnt"), "pivot_root")
    _checked(_LIBC.umount2(b"/mnt", _DETACH), "umount /mnt")
    os.chdir("/")


_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}.get(os.uname().machine, -1)


def _bind(source: Path, place: Path, *, read_only: bool = False) -> None:
    if source.is_dir():
        place.mkdir(parents=True, exist_ok=True)
    elif not place.exists():
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch()
    _mount(str(source), place, None, _BIND | _RECURSIVE)
    if read_only:
        _mount(None, place, None, _BIND | _REMOUNT | _READ_ONLY)


def _mount(
    source: str | None, place: Path, kind: str | None, flags: int = 0, options: str = ""
) -> None:
    arguments = [None if text is None else text.encode() for text in (source, str(place), kind)]
    result = _LIBC.mount(*arguments, ctypes.c_ulong(flags), options.encode() or None)
    _checked(result, f"mount {place}")


def _checked(result: int, what: str) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), what)


if __name__ == "__main__":
    main()
