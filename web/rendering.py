"""Templates: escaped by default, strict about names, and with few filters of their own."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, cast
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from jobsd.acts.shown_keys import shown_key
from jobsd.operations.overview import COUNTED_MAX
from jobsd.operations.shown_arguments import call_text
from jobsd.operations.words import as_json, capped, counted, length, when
from jobsd.text import lines, one_line, size

from . import assets
from .meanings import MEANINGS, WORDS_HERE, words_on


def render(template: str, **facts: Any) -> bytes:  # noqa: ANN401 - whatever a page shows
    """Return a page; the meanings of our terms follow at its end."""
    page = _environment().get_template(template).render(**facts)
    return page.replace(WORDS_HERE, _words(page)).encode()


def _words(page: str) -> str:
    """Return the meanings of our terms on a page."""
    found = words_on(page)
    macros: Any = _environment().get_template("macros.html").module
    return str(macros.words([(word, MEANINGS[word]) for word in found])) if found else ""


@cache
def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("jobsd.web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters: dict[str, Callable[[Any], object]] = {
        "moment": _moment,
        "exact": _exact,
        "lasting": _length,
        "path": lambda text: quote(str(text), safe=""),
        "json": _json,
        "call": _call,
        "args": _arguments,
        "size": size,
        "number": _number,
        "key": shown_key,
        "line": lambda text: one_line(str(text)),
        "lines": lambda text: lines(str(text)),
    }
    made.filters.update(filters)
    names = cast("dict[str, Any]", made.globals)
    names.update(asset=assets.path_of, meanings=MEANINGS, counted=counted)
    return made


def _number(count: int) -> str:
    return capped(count, COUNTED_MAX)


def _arguments(job: dict[str, Any]) -> str:
    return call_text("", job["arguments"])


def _call(job: dict[str, Any]) -> str:
    return call_text(job["class_name"], job["arguments"])


def _moment(value: datetime | None) -> Markup:
    """Return a moment in words, which a script counts on; the exact one stands beside it."""
    if value is None:
        return Markup('<span class="none">none</span>')
    exact = value.astimezone(UTC)
    return Markup('<time class="age" datetime="{}" title="{}">{}</time>').format(
        exact.isoformat(), f"{exact:%Y-%m-%d %H:%M:%S} UTC", when(value)
    )


def _exact(value: datetime) -> Markup:
    """Return a moment in words, and in UTC; a script adds the local time."""
    utc = value.astimezone(UTC)
    return Markup('{} <time class="exact muted" datetime="{}">{}</time>').format(
        _moment(value), utc.isoformat(), f"{utc:%Y-%m-%d %H:%M:%S} UTC"
    )


def _length(value: float | timedelta | None) -> str:
    if value is None:
        return "none"
    return length(value.total_seconds() if isinstance(value, timedelta) else float(value))


def _json(value: Any) -> str:  # noqa: ANN401 - any JSON
    return lines(json.dumps(value, default=as_json, ensure_ascii=False, indent=2))
