"""The jobs that come with jobsd: every process that runs or enqueues jobs knows them."""

from __future__ import annotations

from importlib import import_module

_MODULES = ("jobsd.heartbeat.job", "jobsd.recurring.command_job")


def import_shipped_jobs() -> None:
    """Make them known, by importing their modules."""
    for module in _MODULES:
        import_module(module)
