"""Templates: escaped by default, strict about names, and with few words of their own."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, cast
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from jobsd.operations.call_text import call_text
from jobsd.operations.words import as_json, counted, length, when
from jobsd.text import one_line

from . import assets

MEANINGS = {
    "ready": "waits for a free thread of a worker",
    "claimed": "a worker has taken it: it runs, or is about to",
    "scheduled": "waits for its time; a dispatcher makes it ready then",
    "blocked": "waits for others with the same concurrency key",
    "failed": "has used up its attempts, and waits for somebody to retry or discard it",
    "finished": "has succeeded",
    "discarded": "was dropped: by hand, or because its definition says so",
    "lost": "is in no table: a defect, or a database that was restored",
    "full": "as many jobs of this key run as may: the others wait",
    "paused": "no worker takes from it, or no scheduler enqueues it",
    "standby": "it only repeats what another server does",
    "outdated": "this program needs newer tables",
    "enqueued": "its job was enqueued in time",
    "missed": "no scheduler ran at its time",
    "skipped": "the run before it had not ended",
    "alive": "its heartbeat is recent",
    "silent": "its heartbeat stands still",
    "gone": "its process has ended",
}
"""What the words of ours mean that stand on pages alone."""


def render(template: str, **facts: Any) -> bytes:  # noqa: ANN401 - whatever a page shows
    """Return a page."""
    return _environment().get_template(template).render(**facts).encode()


@cache
def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("jobsd.web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "moment": _moment,
        "lasting": _length,
        "path": lambda text: quote(str(text), safe=""),
        "json": _json,
        "call": _call,
        "size": _size,
        "line": lambda text: one_line(str(text)),
    }
    names = cast("dict[str, Any]", made.globals)
    names.update(asset=assets.path_of, meanings=MEANINGS, counted=counted)
    return made


def _call(job: dict[str, Any]) -> str:
    return call_text(job["class_name"], job["arguments"])


def _moment(value: datetime | None) -> Markup:
    """Return a moment as people say it; the exact one, in UTC, stands beside it."""
    if value is None:
        return Markup('<span class="none">none</span>')
    exact = value.astimezone(UTC)
    return Markup('<time datetime="{}" title="{}">{}</time>').format(
        exact.isoformat(), f"{exact:%Y-%m-%d %H:%M:%S} UTC", when(value)
    )


def _length(value: float | timedelta | None) -> str:
    if value is None:
        return "none"
    return length(value.total_seconds() if isinstance(value, timedelta) else float(value))


def _size(value: float) -> str:
    """Return bytes as people say them."""
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if value < 1024:
            digits = 0 if unit == "bytes" or value >= 10 else 1
            return f"{value:.{digits}f} {unit}"
        value /= 1024
    return f"{value:,.1f} TiB"


def _json(value: Any) -> str:  # noqa: ANN401 - any JSON
    return json.dumps(value, default=as_json, ensure_ascii=False, indent=2)
