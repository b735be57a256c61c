"""Runs the tree beside a web server: both are children of this process, neither of the other.

A crashed tree is started again, after 0.25 s at first and 30 s at most. Any other end of the
tree, and every end of the web server, ends both: the other one is drained, and the exit status
is that of the first. Signals are passed on, each in its meaning.

This process has one thread and no module of the user's; it waits for signals and sockets only.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import struct
from collections.abc import Collection, Sequence
from typing import Literal, NamedTuple, Protocol, cast

from jobsd.clock import monotonic
from jobsd.configuration.options import Options
from jobsd.daemon.statuses import CONFIGURATION, DONE, HELD, INTERRUPTED
from jobsd.events.events import emit
from jobsd.logs import logs
from jobsd.supervisor.children import Backoff

from .sibling import STOPS, Exit, Sibling

_RECORD_BYTES = 128
_HEAD = struct.Struct("@Iii")
_OF_THE_KERNEL = 0x80
_NONBLOCK_CLOEXEC = os.O_NONBLOCK | os.O_CLOEXEC
_SET_BYTES = 128

_libc = ctypes.CDLL(None, use_errno=True)


class Received(NamedTuple):
    """A signal received; `by_terminal` if a key or a hang-up has caused it."""

    number: signal.Signals
    by_terminal: bool


class SignalFile:
    """Blocks these signals in the process, for good, and reads them as records of a file.

    So one `select` waits for all. Unlike a handler, a record shows whether the terminal has
    sent the signal. Then every process of the foreground group has it already, and passing it
    on would send it twice.

    A program that is started must unblock them: a mask survives exec.
    """

    def __init__(self, numbers: Collection[signal.Signals]) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
        mask = ctypes.create_string_buffer(_SET_BYTES)
        for number in numbers:
            at, bit = divmod(number - 1, 8)
            mask[at] = bytes([mask.raw[at] | 1 << bit])
        self._fd: int = _libc.signalfd(-1, mask, _NONBLOCK_CLOEXEC)
        if self._fd < 0:
            error = ctypes.get_errno()
            raise OSError(error, os.strerror(error))

    def fileno(self) -> int:
        """Return the descriptor, which is readable when a signal has come."""
        return self._fd

    def take(self) -> list[Received]:
        """Return the signals received since the last call. Never waits."""
        try:
            records = os.read(self._fd, 64 * _RECORD_BYTES)
        except BlockingIOError:
            return []
        heads = (_HEAD.unpack_from(records, at) for at in range(0, len(records), _RECORD_BYTES))
        return [
            Received(signal.Signals(number), code == _OF_THE_KERNEL)
            for number, _, code in heads
        ]


_OF_THE_TREE = (signal.SIGUSR1, signal.SIGUSR2, signal.SIGTTIN, signal.SIGTTOU)
_TAKEN = (*STOPS, signal.SIGHUP, *_OF_THE_TREE, signal.SIGCHLD)
_USAGE = 2
_ORDERLY = frozenset({DONE, _USAGE, HELD, CONFIGURATION, INTERRUPTED})
"""Ends of a tree that starting it again would not change."""
GRACE_S = 10.0
"""Time for the end of a tree beside its drain, before it is killed."""
_WEB_GRACE_S = 30.0
_POLL_S = 1.0


class Companion(Protocol):
    """Another object that decides about the tree, polled by the loop."""

    def descriptors(self) -> Sequence[int]:
        """Return descriptors that are readable when a poll is due."""
        ...

    def poll(self, siblings: Siblings) -> float:
        """Do the due work; return the seconds until the next poll, at most."""
        ...

    def after_exit(self, exited: Exit) -> bool:
        """Return whether the companion goes on though the tree has ended in order."""
        ...


class Siblings:
    """The tree, perhaps a web server, and the companions that decide about them.

    `drain_s` is the time that the tree gives its running jobs. Made and run in the main thread
    of a process that has no other.
    """

    def __init__(
        self,
        tree: Sibling,
        web: Sibling | None = None,
        companions: Sequence[Companion] = (),
        *,
        drain_s: float,
    ) -> None:
        self._tree, self._web, self._companions = tree, web, companions
        self._drain_s = drain_s
        self._signals = SignalFile(_TAKEN)
        self._backoff = Backoff()
        self._due: float | None = None
        self._status: int | None = None
        self._stopping = self._reloads = False
        self._kill_at: dict[Sibling, float] = {}

    @property
    def stop_max_s(self) -> float:
        """The maximum duration of a stop of the tree."""
        return self._drain_s + GRACE_S

    def run(self, *, start_tree: bool = True) -> int:
        """Run both to their end; return the exit status of the first to end."""
        if start_tree:
            self.start_tree()
        if self._web is not None:
            self._web.start()
            emit("web_server.started", pid=self._web.pid, command=self._web.command[0])
        while not self._over():
            rest_s = self._poll()
            readable = [self._signals.fileno()]
            readable += [fd for each in self._companions for fd in each.descriptors()]
            select.select(readable, [], [], rest_s)
            for received in self._signals.take():
                self._handle(received.number, by_terminal=received.by_terminal)
        return self._status or DONE

    def start_tree(self) -> None:
        """Start the tree, unless it runs or all of us are ending."""
        if not self._tree.pid and not self._ending():
            self._due, self._reloads = None, False
            self._tree.start()
            emit("tree.started", pid=self._tree.pid)

    def reload(self) -> None:
        """Have the tree read its configuration and modules again.

        Start a tree that has ended.
        """
        self._reloads = bool(self._tree.pid)
        if self._tree.pid:
            self._send_reload()
        else:
            self.start_tree()

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End both: by TERM and INT when they have drained, by QUIT at once."""
        self._stopping = True
        self._bound()
        self._tree.send(number)
        if self._web is not None and self._web.pid:
            known = number != signal.SIGQUIT or self._web.catches(number)
            self._web.send(number if known else signal.SIGTERM)

    def _send_reload(self) -> None:
        """Send HUP, now or at a later poll: it would kill a tree that has no handler yet."""
        if self._reloads and self._tree.catches(signal.SIGHUP):
            self._tree.send(signal.SIGHUP)
            self._reloads = False

    def _over(self) -> bool:
        web_runs = self._web is not None and self._web.pid
        return self._ending() and not self._tree.pid and not web_runs

    def _ending(self) -> bool:
        return self._stopping or self._status is not None

    def _poll(self) -> float:
        self._reap()
        self._send_reload()
        now = monotonic()
        if self._due is not None and now >= self._due:
            self.start_tree()
        for sibling, at in self._kill_at.items():
            if now >= at:
                sibling.send(signal.SIGKILL)
        dues = [each for each in (self._due, *self._kill_at.values()) if each and each > now]
        rests = [each.poll(self) for each in self._companions]
        return 0.0 if self._over() else min([_POLL_S, *(due - now for due in dues), *rests])

    def _reap(self) -> None:
        """Reap the siblings, and orphans that PID 1 of a container has inherited."""
        with contextlib.suppress(ChildProcessError):
            while (found := os.waitpid(-1, os.WNOHANG))[0]:
                pid, status = found
                if pid == self._tree.pid:
                    self._tree_exited(self._tree.reaped(status))
                elif self._web is not None and pid == self._web.pid:
                    self._web_exited(self._web.reaped(status))

    def _tree_exited(self, exited: Exit) -> None:
        self._kill_at.pop(self._tree, None)
        facts = _facts(exited)
        if self._ending():
            emit("tree.exited", **facts)
            self._end(exited.status)
        elif exited.signal is None and exited.status in _ORDERLY:
            emit("tree.exited", **facts)
            if not any(each.after_exit(exited) for each in self._companions):
                self._end(exited.status)
        else:
            wait_s = self._backoff.note(monotonic() - self._tree.began)
            self._due = monotonic() + wait_s
            emit("tree.crashed", **facts, wait_s=round(wait_s, 3))

    def _web_exited(self, exited: Exit) -> None:
        if self._web is not None:
            self._kill_at.pop(self._web, None)
        emit("web_server.exited", **_facts(exited))
        self._end(exited.status)

    def _end(self, status: int) -> None:
        """End the other one, in order, because one has ended."""
        if self._status is None:
            self._status = status
            if not self._stopping:
                self.stop()

    def _bound(self) -> None:
        now = monotonic()
        self._kill_at.setdefault(self._tree, now + self.stop_max_s)
        if self._web is not None:
            self._kill_at.setdefault(self._web, now + max(_WEB_GRACE_S, self.stop_max_s))

    def _handle(self, number: signal.Signals, *, by_terminal: bool) -> None:
        if number == signal.SIGCHLD:
            return
        if by_terminal and number in {signal.SIGINT, signal.SIGQUIT, signal.SIGHUP}:
            # The terminal has sent it to both of them, too.
            if number != signal.SIGHUP:
                self._heard(number)
        elif number in STOPS:
            self.stop(number)
        elif number in _OF_THE_TREE:
            if self._tree.catches(number):
                self._tree.send(number)
        else:
            self.reload()
            self._pass_to_web(number)

    def _heard(self, number: signal.Signals) -> None:
        self._stopping = True
        self._bound()
        for each in (self._tree, self._web):
            if each is not None:
                each.sent.add(number)

    def _pass_to_web(self, number: signal.Signals) -> None:
        if self._web is None or not self._web.pid:
            return
        if self._web.catches(number):
            self._web.send(number)
        else:
            emit("signal.withheld", signal=number.name, pid=self._web.pid)


def log_as(kind: str, options: Options) -> None:
    """Set up the log of this process, in the form of the tree's own lines."""
    logs.configure(
        cast("Literal['json', 'console'] | None", options.logs.format),
        options.logs.level,
        kind=kind,
        name=f"{kind}-{os.getpid()}",
        path=options.logs.file,
    )


def _facts(exited: Exit) -> dict[str, object]:
    by = exited.signal.name if exited.signal else None
    return {"exit_status": exited.status, "signal": by}
