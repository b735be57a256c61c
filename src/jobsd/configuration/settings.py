"""Flags and variables of the environment: each flag beats its variable."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from jobsd.configuration import names
from jobsd.configuration.database_url import database_url
from jobsd.configuration.faults import Mistake, known, quoted
from jobsd.configuration.options import KINDS
from jobsd.configuration.queue_file import bind_or_off

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from jobsd.configuration.faults import Faults
    from jobsd.configuration.flags import Flags

T = TypeVar("T")

DEFAULT_ENVIRONMENT = "development"
TRIED_OUT_IN = ("development", "test")
"""The environments in which a start needs no file."""
DEFAULT_CONFIG = "config/queue.yml"
DEFAULT_RECURRING = "config/recurring.yml"

_LEVELS = {"warn": "warning", "fatal": "critical"}
_LEVEL = names.one_of("debug", "info", "warning", "error", "critical", *_LEVELS)


@dataclass(frozen=True, slots=True)
class Given:
    """A text and who gave it: "--log-level" or "JOBSD_LOG_LEVEL"."""

    text: str
    by: str


@dataclass(frozen=True, slots=True)
class Settings:
    """What flags and variables say; None where neither says anything.

    `url` beats a file's URL and `fallback_url` yields to it. `bind` is a tuple of one, for
    it may be "no HTTP".
    """

    environment: str
    config: str
    recurring: str
    skip_recurring: bool
    only: frozenset[str]
    queues: tuple[str, ...] | None
    pidfile: str | None
    bind: tuple[str | None] | None
    log_format: str | None
    log_level: str
    log_jobs: bool
    url: str | None
    fallback_url: Given | None
    imports: tuple[str, ...]


def read(environ: Mapping[str, str], flags: Flags, faults: Faults) -> Settings:
    """Read all flags and variables."""

    def first(flag: str | None, by: str, variable: str) -> Given | None:
        if flag is not None:
            return Given(flag, by)
        return _variable(environ, variable)

    def check(given: Given | None, kind: Callable[[str], T]) -> T | None:
        return None if given is None else judged(given, kind, faults)

    queues = check(_flag(flags.queues, "--queues"), _queues)
    bind = first(flags.metrics_bind, "--metrics-bind", "JOBSD_METRICS_BIND")
    config = first(flags.config, "--config", "JOBSD_CONFIG")
    recurring = first(flags.recurring, "--recurring", "JOBSD_RECURRING_SCHEDULE")
    log_format = first(flags.log_format, "--log-format", "JOBSD_LOG_FORMAT")
    log_level = first(flags.log_level, "--log-level", "JOBSD_LOG_LEVEL")
    url = first(flags.database_url, "--database-url", "QUEUE_DATABASE_URL")
    return Settings(
        environment=environ.get("JOBSD_ENV") or DEFAULT_ENVIRONMENT,
        config=config.text if config else DEFAULT_CONFIG,
        recurring=recurring.text if recurring else DEFAULT_RECURRING,
        skip_recurring=_is_set(environ, "JOBSD_SKIP_RECURRING", flags.skip_recurring),
        only=check(_flag(flags.only, "--only"), _kinds) or KINDS,
        queues=queues,
        pidfile=check(_flag(flags.pidfile, "--pidfile"), _path),
        bind=check(bind, lambda text: (bind_or_off(text),)),
        log_format=check(log_format, names.one_of("json", "console")),
        log_level=check(log_level, _level) or "info",
        log_jobs=_is_set(environ, "JOBSD_LOG_JOBS", flags.log_jobs),
        url=check(url, database_url),
        fallback_url=_variable(environ, "DATABASE_URL"),
        imports=tuple(_modules(flags.imports or (), faults)),
    )


def judged(given: Given, kind: Callable[[str], T], faults: Faults) -> T | None:
    """Return what was meant; None, and a fault that names who gave it, when it is faulty."""
    try:
        return kind(given.text)
    except Mistake as mistake:
        value = f", not {quoted(given.text)}" if mistake.tells_value else ""
        faults.add_setting(given.by, f"{given.by} {mistake.message}{value}", mistake.hint)
        return None


def _flag(text: str | None, by: str) -> Given | None:
    return None if text is None else Given(text, by)


def _variable(environ: Mapping[str, str], name: str) -> Given | None:
    """Return what a variable says; one that is set to nothing says nothing."""
    text = environ.get(name, "").strip()
    return Given(text, name) if text else None


def _is_set(environ: Mapping[str, str], variable: str, flag: bool | None) -> bool:  # noqa: FBT001 - what it says
    return names.truth(environ.get(variable, "")) if flag is None else flag


def _kinds(text: str) -> frozenset[str]:
    words = names.listed(text)
    for word in words:
        if word not in KINDS:
            raise Mistake("must list worker, dispatcher or scheduler", known(word, KINDS))
    if not words:
        raise Mistake("must name at least one of worker, dispatcher, scheduler")
    return frozenset(words)


def _queues(text: str) -> tuple[str, ...]:
    return tuple(map(names.queue_pattern, names.listed(text))) or ("*",)


def _level(text: str) -> str:
    level = _LEVEL(text)
    return _LEVELS.get(level, level)


def _path(text: str) -> str:
    if not text or "\0" in text:
        raise Mistake("must be the path of a file")
    return text


def _modules(imports: Iterable[str], faults: Faults) -> Iterable[str]:
    for text in imports:
        for part in names.listed(text):
            name = judged(Given(part, "--import"), names.module, faults)
            if name is not None:
                yield name
