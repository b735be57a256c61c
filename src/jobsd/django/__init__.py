"""Jobs in a project of Django: `INSTALLED_APPS = ["jobsd.django"]`.

The queue is in the database of `DATABASES` that the setting `JOBSD_DATABASE` names ("default"
unless it is set). This module imports nothing: Django loads `apps`, `TasksBackend` if `TASKS`
names it, and `Router` if `DATABASE_ROUTERS` names it.
"""


def __getattr__(name: str) -> object:
    """Load a class on first access: only Django 6 has the backend of tasks."""
    if name == "TasksBackend":
        from .tasks import TasksBackend  # noqa: PLC0415

        return TasksBackend
    if name == "Router":
        from .router import Router  # noqa: PLC0415

        return Router
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
