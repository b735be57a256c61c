"""When a process calls the hooks of its life, and how long it waits for them.

Start once it is registered, before it works; stop once it was told to end, before it
drains; exit once its row is gone. Each once, in this order: who never started has no
stop, who is killed has no exit, and who ends because the supervisor is gone has neither.

Workers and the scheduler have the author's modules: hooks run there in a thread of their
own, which is waited for while the loop ticks, for a bounded time. The others tell the
hooks process; only their start is waited for.
"""

from __future__ import annotations

import threading
from dataclasses import asdict
from typing import TYPE_CHECKING

from jobsd.clock import monotonic
from jobsd.instruments import hooks
from jobsd.instruments.hooks import Process
from jobsd.machine import hostname

from . import registry

if TYPE_CHECKING:
    from collections.abc import Callable

    from .process import Context

START_S = 10.0
"""How long work may wait for the hooks of the start; then they go on beside it."""
END_S = 2.0
"""How long an end may wait for hooks: what drains has five seconds, unless told otherwise."""
CALL_S = 0.5
"""How long the hooks process may take beyond that, to say that it waits no longer."""
LOOK_S = 0.02

WITH_MODULES = frozenset({"worker", "scheduler", "hooks"})
"""The kinds of processes that import the author's modules."""


class Moments:
    """The moments of one process."""

    def __init__(self, context: Context, kind: str, *, waits: bool = True) -> None:
        self._context = context
        self._kind = kind
        self._waits = waits
        self._reached: list[str] = []
        self._row_id = 0

    def start(self) -> None:
        """The process is registered and about to work."""
        if not self._reached and not self._context.stopping:
            self._reach("start", START_S)

    def stop(self) -> None:
        """The process was told to end."""
        if self._reached == ["start"] and not self._context.orphaned:
            self._reach("stop", END_S)

    def exit(self) -> None:
        """The process's row is gone, and so will be the process."""
        if self._reached == ["start", "stop"]:
            self._reach("exit", END_S)

    def _reach(self, moment: str, patience_s: float) -> None:
        self._reached.append(moment)
        self._row_id = self._context.slot.row_id or self._row_id
        name = hooks.name_of(self._kind, moment)
        if self._kind in WITH_MODULES:
            if name in hooks.registered():
                self._call(name, patience_s)
        elif (line := self._context.board.hook_line) and name in line.hooks:
            slot = self._context.slot
            message = {"hook": name, "process": asdict(self._process()), "slot": slot.index}
            if not line.send(message):
                hooks.tell_failure(name, "the hooks process does not listen")
            elif moment == "start" and self._waits:
                self._wait(lambda: bool(slot.greeted), patience_s + CALL_S)

    def _call(self, name: str, patience_s: float) -> None:
        call = threading.Thread(
            target=hooks.call, args=(name, self._process()), name=name, daemon=True
        )
        call.start()
        if not self._wait(lambda: not call.is_alive(), patience_s):
            hooks.tell_failure(name, hooks.overdue(call, patience_s))

    def _wait(self, done: Callable[[], bool], patience_s: float) -> bool:
        """Wait while the loop ticks; less long once the process is told to end."""
        began = monotonic()
        pause = threading.Event()
        while not done():
            context = self._context
            context.slot.tick()
            waited_s = monotonic() - began
            if waited_s > (min(patience_s, END_S) if context.stopping else patience_s):
                return False
            pause.wait(LOOK_S)
        return True

    def _process(self) -> Process:
        context = self._context
        return Process(
            self._kind,
            context.name,
            context.slot.pid,
            hostname(),
            self._row_id,
            registry.metadata_of(context.name),
        )
