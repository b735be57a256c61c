"""Hooks: functions of the user, called when a process starts, stops or exits, and at events.

Decorators register them in the modules that define jobs. Workers and the scheduler import these
modules, so the hooks of these kinds of processes run there. The hooks of the supervisor, the
dispatchers and the monitor run in a process of their own (`jobsd.supervisor.hooks_process`),
which is started only when there are any.

An error that a hook raises is reported as `hook.failed`, and changes nothing.
"""

from __future__ import annotations

import inspect
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from contextvars import copy_context
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast, overload

from jobsd import errors, text

from . import events
from .bound_job import running_job
from .event_list import EVENTS, Event

FAULTS = frozenset({"process.crashed", "thread.failed"})
"""The events of faults in our own code; some of them are faults of other code."""


@dataclass(frozen=True, slots=True)
class Process:
    """The process that a hook is called for, as its row in `processes` describes it.

    `id` is the id of the row. `metadata` is the process's description of itself, for example
    the queues and threads of a worker.
    """

    kind: str
    name: str
    pid: int
    hostname: str
    id: int
    metadata: Mapping[str, object] = field(default_factory=dict[str, object])


Hook = TypeVar("Hook", bound="Callable[[Process], object] | Callable[[], object]")
FaultHook = TypeVar("FaultHook", bound="Callable[[BaseException], object]")
EventHook = TypeVar("EventHook", bound="Callable[[Event, dict[str, Any]], object]")

_hooks: dict[str, list[Callable[..., object]]] = {}
_subscribed: set[str] = set()
_ends: list[Callable[[], None]] = []


class LifecycleHook:
    """A decorator: the function is called with a `Process` when that starts, stops or exits.

    A function without parameters is called without arguments. Start comes after the process
    has registered and before it works, stop after it was asked to stop and before it drains,
    exit after its row is gone. A process that crashes or is killed has no stop and no exit.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, hook: Hook) -> Hook:
        """Register a function, and return it as it is."""
        if hook not in _hooks.setdefault(self.name, []):
            _hooks[self.name].append(hook)
        return hook

    def __repr__(self) -> str:
        return f"<hook {self.name}>"


on_start = LifecycleHook("on_start")
on_stop = LifecycleHook("on_stop")
on_exit = LifecycleHook("on_exit")
on_worker_start = LifecycleHook("on_worker_start")
on_worker_stop = LifecycleHook("on_worker_stop")
on_worker_exit = LifecycleHook("on_worker_exit")
on_dispatcher_start = LifecycleHook("on_dispatcher_start")
on_dispatcher_stop = LifecycleHook("on_dispatcher_stop")
on_dispatcher_exit = LifecycleHook("on_dispatcher_exit")
on_scheduler_start = LifecycleHook("on_scheduler_start")
on_scheduler_stop = LifecycleHook("on_scheduler_stop")
on_scheduler_exit = LifecycleHook("on_scheduler_exit")
on_monitor_start = LifecycleHook("on_monitor_start")
on_monitor_stop = LifecycleHook("on_monitor_stop")
on_monitor_exit = LifecycleHook("on_monitor_exit")


def name_of(kind: str, stage: str) -> str:
    """Return the name of the hooks of a kind of process at start, stop or exit."""
    return f"on_{stage}" if kind == "supervisor" else f"on_{kind}_{stage}"


def on_thread_error(hook: FaultHook) -> FaultHook:
    """Call a function with each error of jobsd's own threads and loops; a decorator.

    It is never called with an error of a job, or of a thread that a job has started.
    """

    def call_hook(_event: Event, facts: dict[str, Any]) -> None:
        error = facts.get("error")
        if facts.get("ours", True) and "module" not in facts:
            if isinstance(error, dict):
                described = cast("dict[str, str]", error)
                error = errors.ThreadError(
                    described.get("type", ""), described.get("message", "")
                )
            if isinstance(error, BaseException):
                hook(error)

    _subscribe(hook, call_hook, FAULTS)
    return hook


@overload
def on_event(hook: EventHook, /) -> EventHook: ...
@overload
def on_event(*names: str) -> Callable[[EventHook], EventHook]: ...
def on_event(*names: Any) -> Any:
    """Call a function with each event of these names, or with all events; a decorator.

    It is called in the thread in which the event happens (for `job.started` the job's own), so
    it should be quick. An error that it raises is the event `hook.failed`.

    Raises:
        Error: for an unknown name.
    """
    if len(names) == 1 and callable(names[0]):
        return on_event()(names[0])
    for name in names:
        if name not in EVENTS:
            near = text.closest(name, EVENTS)
            hint = f"; did you mean {near!r}?" if near else ""
            raise errors.Error(f"there is no event {name!r}{hint}")

    def register(hook: EventHook) -> EventHook:
        _subscribe(hook, hook, names or EVENTS)
        return hook

    return register


def registered() -> frozenset[str]:
    """Return the names under which lifecycle hooks are registered."""
    return frozenset(_hooks)


def subscribed() -> frozenset[str]:
    """Return the names of the events that hooks are called for."""
    return frozenset(_subscribed)


def reset() -> None:
    """Forget all hooks."""
    _hooks.clear()
    _subscribed.clear()
    while _ends:
        _ends.pop()()


def call(name: str, process: Process) -> None:
    """Call the hooks of this name in their order; never raises."""
    for hook in _hooks.get(name, ()):
        try:
            _run(hook, *_wanted(hook, process))
        except BaseException as error:  # noqa: BLE001 - sys.exit and the like end the hook only
            report_failure(name, error, hook, process.name)


def report_failure(
    name: str, error: object, hook: object = None, process: str | None = None
) -> None:
    """Report that a hook has failed."""
    facts: dict[str, object] = {"hook": name, "error": error}
    if hook is not None:
        facts["function"] = _name(hook)
    if process is not None:
        facts["process"] = process
    events.emit("hook.failed", **facts)


def overdue(thread: threading.Thread, patience_s: float) -> dict[str, str]:
    """Return the error for hooks that take too long, with the stack of their thread."""
    import traceback  # noqa: PLC0415 - every program that defines a job loads this module

    frames = sys._current_frames()  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
    frame = frames.get(thread.ident or 0)
    return {
        "type": "TimeoutError",
        "message": f"it still runs after {patience_s:g} s; jobsd no longer waits for it",
        "stack": "".join(traceback.format_stack(frame)) if frame else "",
    }


def _wanted(hook: Callable[..., object], process: Process) -> tuple[Process, ...]:
    try:
        return (process,) if inspect.signature(hook).parameters else ()
    except ValueError:  # some functions in C have none
        return (process,)


def _run(hook: Callable[..., object], *arguments: object) -> None:
    result = hook(*arguments)
    if inspect.iscoroutine(result):
        import asyncio  # noqa: PLC0415 - costs 50 ms, which most never need

        asyncio.run(result)


def _subscribe(
    hook: object, call_it: Callable[[Event, dict[str, Any]], object], names: Iterable[str]
) -> None:
    mine = threading.local()

    def call(event: Event, facts: dict[str, Any]) -> None:
        # A hook may cause an event, too: the hook is not called for that one.
        if getattr(mine, "busy", False):
            return
        mine.busy = True
        try:
            if running_job.get() is not None:
                _run(call_it, event, dict(facts))
            else:
                # A hook's changes to the context of a thread that goes on stay within the hook.
                copy_context().run(_run, call_it, event, dict(facts))
        except BaseException as error:  # noqa: BLE001 - as in `call`
            report_failure("on_event", error, hook)
        finally:
            mine.busy = False

    _ends.append(events.subscribe(call, names=names, everywhere=True))
    _subscribed.update(names)


def _name(hook: object) -> str:
    name = getattr(hook, "__qualname__", type(hook).__qualname__)
    return f"{getattr(hook, '__module__', '')}.{name}"
