"""The hooks process: it runs the hooks of processes that do not import the user's modules.

The supervisor, the dispatchers and the monitor send it their lifecycle hooks and events through
the tree's `HookLine`. It has the user's modules and no other work: if a hook hangs or crashes
here, the other processes go on. It is started only if there are hooks for it.

The calls for one process are made one after the other; the supervisor's exit comes after the
calls for all other processes. A call that takes too long is reported as failed, and no call
waits for it any longer. The hooks process ends last, after the supervisor's exit hooks, for
which it has a bounded time.
"""

import os
import threading
from collections import deque
from dataclasses import asdict, dataclass, field

from jobsd import clock, machine
from jobsd.events import events, hooks
from jobsd.events.hooks import Process
from jobsd.processes.context import Context
from jobsd.processes.lifecycle_hooks import CALL_S, END_S, POLL_S, START_S
from jobsd.scoreboard.hook_line import HookLine, Message
from jobsd.scoreboard.scoreboard import Scoreboard

from .child_table import ChildTable


class SupervisorHooks:
    """The supervisor's own start, stop and exit: it sends messages for them, and never waits.

    Start is when the monitor has written the supervisor's row, stop when the supervisor acts on
    the signal to stop, exit when all rows are gone.
    """

    def __init__(self, scoreboard: Scoreboard, table: ChildTable) -> None:
        self._scoreboard = scoreboard
        self._table = table
        self._row_id = 0
        self._called: list[str] = []
        self._until: float | None = None

    @property
    def last_s(self) -> float:
        """How long the stop of the tree may take for the exit hooks."""
        return END_S + CALL_S if self._scoreboard.hook_line else 0.0

    def start(self) -> None:
        """Call the start hooks once we are registered. Called in each iteration."""
        if not self._called and self._scoreboard.supervisor_row:
            self._call("start")

    def stop(self) -> None:
        """Call the stop hooks: the tree is asked to stop."""
        if self._called == ["start"]:
            self._call("stop")

    def over(self, now: float) -> bool:
        """Call the exit hooks once; return whether the hooks process has ended after them."""
        if self._until is None:
            # Without start hooks there are no exit hooks to wait for.
            began = self._called == ["start", "stop"]
            self._until = now + self.last_s if began else now
            if began:
                self._call("exit")
            for process in self._table.of("hooks"):
                process.dismiss("stop", self._until)
        return now >= self._until or not self._table.of("hooks")

    def next_due(self) -> float:
        """Return when the hooks process must have exited."""
        return float("inf") if self._until is None else self._until

    def _call(self, stage: str) -> None:
        self._called.append(stage)
        self._row_id = self._scoreboard.supervisor_row or self._row_id
        name, line = hooks.name_of("supervisor", stage), self._scoreboard.hook_line
        # The exit is sent in any case: it ends the hooks process.
        if line is None or (name not in line.hooks and stage != "exit"):
            return
        me = Process(
            "supervisor",
            self._scoreboard.supervisor_name,
            os.getpid(),
            machine.hostname(),
            self._row_id,
        )
        if not line.send({"hook": name, "process": asdict(me)}):
            hooks.report_failure(name, "the hooks process does not listen")


ALONE_S = 1.0
"""Time after a TERM within which the supervisor must announce the stop of the whole tree."""
REST_S = 5.0
LAST = "on_exit"


@dataclass(slots=True, eq=False)
class _Calls:
    """The calls for one process: one under way, others queued."""

    waiting: deque[Message] = field(default_factory=deque["Message"])
    thread: threading.Thread | None = None
    name: str = ""
    until: float = 0.0
    timeout_s: float = 0.0


class HooksProcess:
    """The loop of the hooks process."""

    kind = "hooks"

    def __init__(self, context: Context, line: HookLine) -> None:
        self._context = context
        self._scoreboard: Scoreboard = context.scoreboard
        self._line = line
        self._calls: dict[str, _Calls] = {}
        self._stopping_since: float | None = None
        self._was_last = False

    def connect(self) -> None:
        """Do nothing: it has no connection."""

    disconnect = farewell = connect

    def socket(self) -> int | None:
        """Return the pipe that receives the calls."""
        return self._line.reader

    def doing(self) -> str:
        """Return the text for the title."""
        running = [each.name for each in self._calls.values() if each.thread]
        return f"calling {', '.join(running)}" if running else "waiting for calls"

    def stop(self) -> None:
        """End: at once for a successor, otherwise after the supervisor's exit."""
        self._stopping_since = clock.monotonic()

    @property
    def stopped(self) -> bool:
        """Whether there are no more calls."""
        if self._stopping_since is None or self._calls:
            return False
        alone = clock.monotonic() - self._stopping_since > ALONE_S
        return (
            self._was_last
            or self._context.orphaned
            or (alone and not self._scoreboard.stopping)
        )

    def poll(self) -> float:
        """Receive messages, and go on with the calls."""
        for message in self._line.receive():
            self._take(message)
        now = clock.monotonic()
        for who, calls in list(self._calls.items()):
            self._go_on(calls, now)
            if calls.thread is None and not calls.waiting:
                del self._calls[who]
        if self._was_last and not self._calls:
            self._context.request_stop()
        busy = self._calls or self._stopping_since is not None
        return POLL_S if busy else REST_S

    def _take(self, message: Message) -> None:
        if "event" in message:
            events.pass_on(message["event"], message["facts"])
            return
        self._was_last = self._was_last or message["hook"] == LAST
        self._calls.setdefault(message["process"]["name"], _Calls()).waiting.append(message)

    def _go_on(self, calls: _Calls, now: float) -> None:
        """Begin the next call if the one before has ended, or has had its time."""
        if calls.thread is not None:
            if calls.thread.is_alive():
                if now < calls.until:
                    return
                error = hooks.overdue(calls.thread, calls.timeout_s)
                hooks.report_failure(calls.name, error)
            self._answer(calls.waiting.popleft())
            calls.thread = None
        if calls.waiting and (calls.waiting[0]["hook"] != LAST or len(self._calls) == 1):
            self._begin(calls, calls.waiting[0], now)

    def _begin(self, calls: _Calls, message: Message, now: float) -> None:
        calls.name = message["hook"]
        calls.timeout_s = START_S if calls.name.endswith("start") else END_S
        calls.until = now + calls.timeout_s
        process = Process(**message["process"])
        calls.thread = threading.Thread(
            target=hooks.call, args=(calls.name, process), name=calls.name, daemon=True
        )
        calls.thread.start()

    def _answer(self, message: Message) -> None:
        """Notify a process that waits for its start hooks."""
        if "entry" in message:
            entry = self._scoreboard.entries[int(message["entry"])]
            if entry.name == message["process"]["name"]:
                entry.start_hooks_done = 1
