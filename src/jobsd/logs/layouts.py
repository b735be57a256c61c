"""The two layouts of a line: a JSON object for programs, a sentence of facts for people."""

import json
import os
from collections.abc import Callable
from datetime import datetime
from typing import Any, cast

from jobsd.text import one_line

Layout = Callable[["Facts"], str]

Facts = dict[str, Any]

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}

_COLOURS = {
    "debug": "\x1b[2m",
    "warning": "\x1b[33m",
    "error": "\x1b[31m",
    "critical": "\x1b[1;31m",
}
_RESET = "\x1b[0m"
_AHEAD = ("timestamp", "level", "event")
_AT_THE_END = ("pid", "process_kind", "process_name", "hostname")


def known_level(word: str) -> str:
    """Return the level for a word; the default is info."""
    return word if word in LEVELS else "info"


def chosen(wanted: str | None, stream: int) -> Layout:
    """Return the layout of the setting, or the one that suits the descriptor."""
    terminal = os.isatty(stream)
    if not (wanted == "console" or (wanted is None and terminal)):
        return in_json
    if not terminal:
        return in_file
    return for_people if os.environ.get("NO_COLOR") else in_colour


def in_json(facts: Facts) -> str:
    """Return the facts as one JSON object; values that JSON lacks are written as text."""
    try:
        return _dumps(facts)
    except (ValueError, TypeError, RecursionError):
        # A cycle, a NaN or an invalid key deep inside a value: write that value as Python does.
        return _dumps({str(key): _serializable(value) for key, value in facts.items()})


def for_people(facts: Facts) -> str:
    """Return date, time, level, event and key=value; below it, indented, the stack if any.

    The time is that of the machine's zone.
    """
    return _for_people(facts, "", "")


def in_file(facts: Facts) -> str:
    """Return the same for a file that is searched: our own events have the word `jobsd`."""
    return _for_people(facts, "", "", own_logger=True)


def in_colour(facts: Facts) -> str:
    """Return the same for a terminal that shows colours."""
    colour = _COLOURS.get(str(facts.get("level")), "")
    return _for_people(facts, colour, _RESET if colour else "")


def shown(value: object) -> str:
    """Return any value as text."""
    if isinstance(value, str):
        return value
    try:
        return str(value)
    except Exception:  # noqa: BLE001 - a job's object may do anything
        return f"<{type(value).__name__}>"


def sentence(event: str, facts: Facts) -> str:
    """Return an event and its facts as key=value; below it, indented, the stack if any."""
    known = [f"{key}={_value(value)}" for key, value in _rest(facts, own_logger=True).items()]
    stack = shown(_error(facts).get("stack", "")).splitlines()
    return "\n    ".join([" ".join([event, *known]), *stack])


def _for_people(facts: Facts, colour: str, reset: str, *, own_logger: bool = False) -> str:
    moment = datetime.fromisoformat(facts["timestamp"]).astimezone()
    what = f"{colour}{facts['level']:<7} {one_line(facts['event'])}{reset}"
    known = [
        f"{key}={_value(value)}" for key, value in _rest(facts, own_logger=own_logger).items()
    ]
    below = [one_line(line) for line in shown(_error(facts).get("stack", "")).splitlines()]
    return "\n    ".join([" ".join([f"{moment:%Y-%m-%d %H:%M:%S}", what, *known]), *below])


def _rest(facts: Facts, *, own_logger: bool) -> Facts:
    """Return the facts after the event; the logger of our own events, `jobsd`, on request."""
    placed = {*_AHEAD, *_AT_THE_END}
    rest = {key: value for key, value in facts.items() if key not in placed}
    logger = rest.pop("logger", "")
    if logger and (own_logger or logger != "jobsd"):
        rest["logger"] = logger
    if error := _error(facts):
        rest["error"] = ": ".join(
            shown(error[key]) for key in ("type", "message") if error.get(key)
        )
    if "process_kind" in facts:
        rest["by"] = f"{facts['process_kind']}[{facts['pid']}]"
    return rest


def _error(facts: Facts) -> Facts:
    error = facts.get("error")
    return cast("Facts", error) if isinstance(error, dict) else {}


def _value(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    text = in_json({"": value})[4:-1] if isinstance(value, dict | list) else shown(value)
    if text and text.isprintable() and not set(text) & set(' "=\\'):
        return text
    return one_line(json.dumps(text, ensure_ascii=False))


def _serializable(value: object) -> object:
    try:
        _dumps({"": value})
    except (ValueError, TypeError, RecursionError):
        return shown(value)
    return value


def _dumps(facts: Facts) -> str:
    return json.dumps(
        facts,
        default=_plain,
        ensure_ascii=False,
        allow_nan=False,
        separators=(",", ":"),
    )


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, set | frozenset):
        return sorted(map(shown, cast("set[object]", value)))
    return shown(value)
