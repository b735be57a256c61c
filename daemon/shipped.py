"""Files shipped with jobsd, and the shipped jobs, which every process that runs jobs knows."""

from importlib import import_module

_MODULES = ("jobsd.heartbeat.job", "jobsd.recurring.command_job")


def import_shipped_jobs() -> None:
    """Register the shipped jobs, by importing their modules."""
    for module in _MODULES:
        import_module(module)


def shipped_text(name: str) -> str:
    """Return the text of a file of our package, by its path in the package."""
    from pkgutil import get_data

    return (get_data("jobsd", name) or b"").decode()
