"""Makes docs/reference/api.md of the docstrings and signatures of what `jobsd` exports.

    .venv/bin/python tests/docs/api_page.py

Run it when a public name, its signature or its docstring changes.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, ForwardRef, Generic

import jobsd
import jobsd.testing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

PAGE = Path(__file__).parents[2] / "docs/reference/api.md"
WIDTH = 96

HEAD = """\
<!-- Made by tests/docs/api_page.py of the docstrings of the package. -->

# Python API

All names below are imported from `jobsd`. [The guide](../README.md) explains them by task.

Types in the signatures that are not exported:

| type | is |
|---|---|
| `Duration` | seconds, a timedelta, or text such as `"5m"` |
| `Kinds` | an exception class, or a tuple of them |
| `Backoff` | a function of the attempt's number that returns seconds or a timedelta |
| `Key` | a value, or a function of the job's arguments, that gives the key of a limit |
| `Draft` | a job with its arguments, not enqueued yet |
| `Using` | a job with options for one enqueue; it has `enqueue` and `with_args` |
| `Hook`, `FaultHook` | your function |
| `Timeout` | None, seconds, a timedelta, or text such as `"5m"` |
| `JobOrId` | what `enqueue` has returned, or the id of a job |
| `JobProgress` | `id`, `state` (None until the job has ended) and `progress` of a job |
| `Session` | a connection of jobsd; leave it out in your programs |
"""

CHAPTERS = {
    "Define jobs": "job Job FunctionJob Limit Unique exponential constant argument_type",
    "Inside a job": "current_job CurrentJob stopping Retry Snooze Discard",
    "Enqueue": "configure enqueue_many aenqueue_many EnqueuedJob EnqueuedJobs handle",
    "Manage jobs": (
        "find afind JobInfo retry retry_all discard discard_all cancel cancel_all acancel"
        " clear_finished_in_batches queues"
    ),
    "Recurring tasks": "RecurringTask",
    "Heartbeats": "HeartbeatJob HeartbeatLog health_status",
    "Hooks": (
        "around_job around_enqueue carry"
        " Process Event on_event on_thread_error on_start on_stop on_exit"
        " on_worker_start on_worker_stop on_worker_exit"
        " on_dispatcher_start on_dispatcher_stop on_dispatcher_exit"
        " on_scheduler_start on_scheduler_stop on_scheduler_exit"
        " on_monitor_start on_monitor_stop on_monitor_exit"
    ),
    "Errors": (
        "Error AfterCommitError ArgumentError ArgumentGoneError"
        " Cancelled CompletionError ConfigurationError DatabaseUnreachableError"
        " DuplicateError EmbeddedServerError EnqueueError"
        " JobDiscardedError JobFailedError JobNotFoundError LimitError"
        " NotFoundError ProcessError ProcessExitError ProcessMissingError"
        " ProcessPrunedError RefusedError ResultError SchemaError ThreadError"
        " TimeLimitExceeded UniqueError UnknownJobError"
    ),
}
"""Every name of `jobsd.__all__`, in the order in which a reader meets it."""

TEST_KIT = """
## Test your code

These names are imported from `jobsd.testing`; [the guide](../guide/test-kit.md) has the
fixtures of pytest.
"""

MADE_BY_CALLERS = {"Limit", "Unique", "Retry", "Snooze", "Discard"}
"""The classes whose constructors are for users; of the others, the fields are shown."""

SECTION = re.compile(r"^(Args|Attributes|Returns|Raises|Yields):\s*$", re.MULTILINE)


def page() -> str:
    """Return the page: a chapter for each kind of thing, an entry for each name."""
    chapters = (
        f"\n## {title}\n" + "".join(_entries(names.split()))
        for title, names in CHAPTERS.items()
    )
    kit = "".join(_entries(jobsd.testing.__all__, jobsd.testing))
    return HEAD + "".join(chapters) + TEST_KIT + kit


def _entries(names: list[str], home: ModuleType = jobsd) -> Iterator[str]:
    """Give an entry for each name, one for all that follow each other and read the same."""
    for _, alike in groupby(names, lambda name: inspect.getdoc(getattr(home, name))):
        first, *others = alike
        yield _entry(first, home).replace(
            f"### {first}", f"### {', '.join([first, *others])}", 1
        )


def _entry(name: str, home: ModuleType) -> str:
    found: Any = getattr(home, name)
    if inspect.ismodule(found):
        members = [getattr(found, each) for each in _functions(found)]
        inside = "".join(_callable(f"{name}.{each.__name__}", each, "####") for each in members)
        return f"\n### {name}\n\n{_text(found)}\n{inside}"
    if inspect.isclass(found):
        return _class(name, found)
    return _callable(name, found, "###")


def _functions(module: ModuleType) -> list[str]:
    """Return the public functions that a module defines, in their order."""
    return [
        name
        for name, value in vars(module).items()
        if inspect.isfunction(value) and value.__module__ == module.__name__ and name[0] != "_"
    ]


def _class(name: str, found: type) -> str:
    plain = {object, tuple, Generic, *_hidden_bases(found)}
    bases = [base.__name__ for base in found.__bases__ if base not in plain]
    derives = f"\n\nDerives from `{'`, `'.join(bases)}`." if bases else ""
    made = _block(name, found) if name in MADE_BY_CALLERS else ""
    fields = "" if made else _fields(found)
    body = f"{_text(found)}{fields}{derives}\n"
    return f"\n### {name}\n{made}\n{body}" + "".join(_members(name, found))


def _fields(found: type) -> str:
    """Return what a record that jobsd makes holds."""
    if dataclasses.is_dataclass(found):
        fields = {field.name: field.type for field in dataclasses.fields(found)}
    elif issubclass(found, tuple):
        fields = dict(found.__annotations__)
    else:
        return ""
    shown = [f"- `{name}`: `{_annotation(kind)}`" for name, kind in fields.items()]
    return "\n\nFields:\n\n" + "\n".join(shown)


def _hidden_bases(found: type) -> list[type]:
    """Return the bases of ours that are not exported: their members belong to the class."""
    bases = [base for base in found.__mro__[1:] if base.__module__.startswith("jobsd.")]
    return [base for base in bases if base.__name__ not in jobsd.__all__]


def _members(name: str, found: type) -> Iterator[str]:
    kinds = [found, *_hidden_bases(found)]
    for each, value in (member for kind in kinds for member in vars(kind).items()):
        if each.startswith("_"):
            continue
        if isinstance(value, property):
            yield f"\n#### {name}.{each}\n\n{_text(value)}\n"
        elif inspect.isroutine(getattr(found, each)):
            yield _callable(f"{name}.{each}", getattr(found, each), "####")


def _callable(name: str, found: Any, level: str) -> str:
    return f"\n{level} {name}\n{_block(name, found)}\n{_text(found)}\n"


def _block(name: str, found: Any) -> str:
    """Return the signature, a parameter a line when it is long."""
    try:
        signature = inspect.signature(found)
    except (TypeError, ValueError):
        return ""
    shown = _plain(signature)
    line = f"{name}{shown}"
    if len(line) > WIDTH:
        inside, _, result = shown.rpartition(")")
        parts = [f"    {part}," for part in _split(inside[1:])]
        line = "\n".join([f"{name}(", *parts, f"){result}"])
    return f"\n```text\n{line}\n```\n"


class _Code:
    """A text that is shown as it is, where `inspect` would show the `repr` of a value."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text


def _plain(signature: inspect.Signature) -> str:
    """Return a signature with its annotations as they are written."""
    parameters = [
        each.replace(annotation=_annotation(each.annotation), default=_default(each.default))
        for each in signature.parameters.values()
        if each.name not in {"self", "cls", "_cls"}
    ]
    result = _annotation(signature.return_annotation)
    return str(signature.replace(parameters=parameters, return_annotation=result))


def _annotation(written: Any) -> Any:
    if isinstance(written, ForwardRef):
        return _Code(written.__forward_arg__)
    return _Code(written) if isinstance(written, str) else written


def _default(value: Any) -> Any:
    if value is inspect.Parameter.empty:
        return value
    shown = "..." if value is Ellipsis else repr(value)
    return _Code(re.sub(r"<class '(?:\w+\.)*(\w+)'>", r"\1", shown))


def _split(parameters: str) -> list[str]:
    """Split at the commas that are in no bracket."""
    parts, depth = [""], 0
    for letter in parameters:
        depth += (letter in "([{") - (letter in ")]}")
        if letter == "," and not depth:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts]


def _text(found: Any) -> str:
    """Return a docstring with its sections as lists."""
    pieces = SECTION.split(inspect.getdoc(found) or "")
    shown = [pieces[0].strip()]
    for title, body in zip(pieces[1::2], pieces[2::2], strict=True):
        items = re.sub(r"\n\s{4,}(?=\S)", " ", inspect.cleandoc(body)).splitlines()
        marked = [re.sub(r"^(\*{0,2}[\w, *]+):", r"`\1`:", item) for item in items if item]
        shown.append(f"{title}:\n\n" + "\n".join(f"- {item}" for item in marked))
    return "\n\n".join(shown)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
