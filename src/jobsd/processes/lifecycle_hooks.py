"""The times at which a process calls its lifecycle hooks, and how long it waits for them.

Start hooks are called after the process has registered and before it works; stop hooks after it
was asked to stop and before it drains; exit hooks after its row was deleted. Each is called
once, in this order. A process that never started calls no stop hooks, a killed one calls no
exit hooks, and one that exits because its supervisor died calls neither.

Workers and the scheduler import the user's modules, so hooks run there, in a thread of their
own; the process waits for it for a bounded time, while its loop keeps ticking. The other
processes send a message to the hooks process, and wait only for their start hooks.
"""

import threading
from collections.abc import Callable
from dataclasses import asdict

from jobsd import clock, machine
from jobsd.events import hooks
from jobsd.events.hooks import Process

from .context import Context

START_S = 10.0
"""How long the process waits for start hooks; after that they run beside its work."""
END_S = 2.0
"""How long a stop waits for hooks; a drain has five seconds by default."""
CALL_S = 0.5
"""The additional time in which the hooks process reports that hooks take too long."""
POLL_S = 0.02

WITH_MODULES = frozenset({"worker", "scheduler", "hooks"})
"""The kinds of processes that import the user's modules."""


class LifecycleHooks:
    """The lifecycle hooks of one process."""

    def __init__(self, context: Context, kind: str, *, waits: bool = True) -> None:
        self._context = context
        self._kind = kind
        self._waits = waits
        self._called: list[str] = []
        self._row_id = 0

    def start(self) -> None:
        """Call the start hooks: the process has registered and is about to work."""
        if not self._called and not self._context.stopping:
            self._call_stage("start", START_S)

    def stop(self) -> None:
        """Call the stop hooks: the process was asked to stop."""
        if self._called == ["start"] and not self._context.orphaned:
            self._call_stage("stop", END_S)

    def exit(self) -> None:
        """Call the exit hooks: the process's row is gone, and the process is about to exit."""
        if self._called == ["start", "stop"]:
            self._call_stage("exit", END_S)

    def _call_stage(self, stage: str, timeout_s: float) -> None:
        self._called.append(stage)
        self._row_id = self._context.entry.row_id or self._row_id
        name = hooks.name_of(self._kind, stage)
        if self._kind in WITH_MODULES:
            if name in hooks.registered():
                self._run(name, timeout_s)
        elif (line := self._context.scoreboard.hook_line) and name in line.hooks:
            entry = self._context.entry
            message = {"hook": name, "process": asdict(self._process()), "entry": entry.index}
            if not line.send(message):
                hooks.report_failure(name, "the hooks process does not listen")
            elif stage == "start" and self._waits:
                self._wait(lambda: bool(entry.start_hooks_done), timeout_s + CALL_S)

    def _run(self, name: str, timeout_s: float) -> None:
        call = threading.Thread(
            target=hooks.call, args=(name, self._process()), name=name, daemon=True
        )
        call.start()
        if not self._wait(lambda: not call.is_alive(), timeout_s):
            hooks.report_failure(name, hooks.overdue(call, timeout_s))

    def _wait(self, done: Callable[[], bool], timeout_s: float) -> bool:
        """Wait while the loop ticks, for a shorter time once the process is asked to stop."""
        began = clock.monotonic()
        pause = threading.Event()
        while not done():
            context = self._context
            context.entry.tick()
            waited_s = clock.monotonic() - began
            if waited_s > (min(timeout_s, END_S) if context.stopping else timeout_s):
                return False
            pause.wait(POLL_S)
        return True

    def _process(self) -> Process:
        context = self._context
        return Process(
            self._kind,
            context.name,
            context.entry.pid,
            machine.hostname(),
            self._row_id,
            context.metadata,
        )
