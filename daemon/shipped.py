"""What comes with jobsd: files, and jobs that every process which runs any knows."""

from importlib import import_module
from pkgutil import get_data

_MODULES = ("jobsd.heartbeat.job", "jobsd.recurring.command_job")


def import_shipped_jobs() -> None:
    """Make them known, by importing their modules."""
    for module in _MODULES:
        import_module(module)


def shipped_text(name: str) -> str:
    """Return a file that lies in our package, by its path there."""
    return (get_data("jobsd", name) or b"").decode()
