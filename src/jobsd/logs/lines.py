"""Lines of the log: time, level, event, process, and the facts, in this order.

The lines of every source (our events, structlog, `logging`) are made here, so that all lines
of a tree look alike and none holds a password.
"""

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Final, cast

from jobsd.events.bound_job import bound_job
from jobsd.events.error_facts import normalize_error
from jobsd.events.event_list import EVENTS
from jobsd.machine import hostname

from .journal import PRIORITIES
from .layouts import Facts, shown
from .redaction import HIDDEN, is_secret, is_suspect, redact, redacted

Layout = Callable[[Facts], str]

NO_JOB: Final = MappingProxyType[str, Any]({})
_BEGINS = '{"timestamp":"'
_ALWAYS = {"timestamp", "level", "event", "logger", "pid", "process_kind", "process_name"}
_OF_EVERY_LINE = _ALWAYS | {
    "hostname", "job_id", "class_name", "queue_name", "attempt", "error",
}  # fmt: skip
_CUT = "…"


class Lines:
    """Makes the lines of one process; safe from any thread.

    A line has at most `line_bytes`, its end included. With `has_priority` it begins with the
    `<N>` from which the journal reads its severity.
    """

    def __init__(
        self, layout: Layout, kind: str, name: str, *, line_bytes: int, has_priority: bool
    ) -> None:
        self.layout = layout
        self._room = line_bytes - len("\n")
        self._has_priority = has_priority
        self._who: Facts = {
            "process_kind": kind,
            "process_name": name,
            "hostname": hostname(),
        }

    def line(self, level: str, event: object, logger: str, facts: Facts, at: float = 0) -> str:
        """Return the line, without its end; `at` is seconds since the epoch, 0 for now."""
        head: Facts = {
            "timestamp": _timestamp(at),
            "level": level,
            "event": shown(event),
            "logger": logger,
            # Read each time: the process may have forked since.
            "pid": os.getpid(),
            **self._who,
        }
        known = bound_job()
        # A process that an event is about has a pid too; `pid` is that of the logging process.
        known.update((f"its_{key}" if key in head else key, facts[key]) for key in facts)
        normalize_error(known)
        prefix = f"<{PRIORITIES.get(level, 6)}>" if self._has_priority else ""
        return prefix + fit(head | known, self.layout, self._room - len(prefix))


def is_line(text: str) -> bool:
    """Return whether a text is already a line of this log, which was printed again.

    Output of jobs is untrusted: a line with an event of ours, with a password or with a
    duplicate name is treated like any other text.
    """
    if not text.startswith(_BEGINS) or not text.endswith("}"):
        return False
    try:
        parsed: object = json.loads(text)
        pairs: object = json.loads(text, object_pairs_hook=list)
    except (ValueError, RecursionError):
        return False
    if not isinstance(parsed, dict) or not isinstance(pairs, list):
        return False
    facts = cast("Facts", parsed)
    if not facts.keys() >= _ALWAYS or len(cast("list[object]", pairs)) != len(facts):
        return False
    return str(facts["event"]) not in EVENTS and redact(text) == text


def encode(text: str) -> bytes:
    r"""Return the bytes of a text; half a surrogate pair becomes \udcXX, as JSON has it."""
    return text.encode("utf-8", "backslashreplace")


def fit(facts: Facts, layout: Layout, room: int) -> str:
    """Return the line without passwords, in at most `room` bytes: its longest texts are cut.

    The stack is cut first, from its beginning: its end shows the error.
    """
    text = layout(facts)
    if is_suspect(text):
        # In the facts, not in the line: a layout escapes quotes, which end a password.
        facts = _without_secrets(facts)
        text = layout(facts)
    if len(encode(text)) <= room:
        return text
    short: Facts = {key: _as_text(facts[key]) for key in facts} | {"truncated": True}
    for _ in range(8):
        text = layout(short)
        excess = len(encode(text)) - room
        if excess <= 0:
            return text
        _cut(short, excess + len(encode(_CUT)))
    # There are more small facts than fit.
    kept = ("timestamp", "level", "logger", "pid", "process_kind", "truncated")
    event = shown(facts["event"])[:200]
    return layout({"event": event, **{key: short[key] for key in kept if key in short}})


def _without_secrets(facts: Facts) -> Facts:
    # The facts of our own events have names of ours, which may be those of a job's arguments.
    own = facts["event"] in EVENTS and facts["logger"] == "jobsd"
    clean: Facts = {}
    for key, value in facts.items():
        named = not own and key not in _OF_EVERY_LINE
        hidden = named and is_secret(shown(key))
        clean[redact(shown(key))] = HIDDEN if hidden else redacted(value, named=named)
    return clean


def _cut(facts: Facts, excess: int) -> None:
    # A character takes at least one byte in each layout, so this is enough.
    error: Facts = facts["error"] if isinstance(facts.get("error"), dict) else {}
    if stack := shown(error.get("stack", "")):
        error["stack"] = _CUT + stack[excess:] if len(stack) > excess else ""
        return
    texts = error if len(shown(error.get("message", ""))) > excess else facts
    longest = max(texts, key=lambda key: len(shown(texts[key])))
    text = shown(texts[longest])
    texts[longest] = text[: max(0, len(text) - excess)] + _CUT


def _as_text(value: Any) -> Any:  # noqa: ANN401 - a fact is of any type
    if isinstance(value, dict):
        # No deeper: endless nesting must not exhaust our stack.
        members = cast("Facts", value)
        return {key: shown(members[key]) for key in members}
    if value is None or isinstance(value, bool | int | float):
        return value
    return shown(value)


def _timestamp(at: float) -> str:
    moment = datetime.fromtimestamp(at, UTC) if at else datetime.now(UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
