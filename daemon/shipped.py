"""The shipped jobs, which every process that runs jobs knows."""

from importlib import import_module

_MODULES = ("jobsd.heartbeat.job", "jobsd.recurring.command_job")


def import_shipped_jobs() -> None:
    """Register the shipped jobs, by importing their modules."""
    for module in _MODULES:
        import_module(module)
