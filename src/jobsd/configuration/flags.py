"""The flags of `start`, as typed; None where one was not given."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Flags:
    """What the command line says. Nothing in it has been checked yet.

    `only` and `queues` are lists with commas; `metrics_bind` may be "off"; `imports` come
    after the modules that the file names.
    """

    config: str | None = None
    recurring: str | None = None
    skip_recurring: bool | None = None
    only: str | None = None
    queues: str | None = None
    pidfile: str | None = None
    metrics_bind: str | None = None
    log_format: str | None = None
    log_level: str | None = None
    log_jobs: bool | None = None
    database_url: str | None = None
    imports: tuple[str, ...] | None = None
