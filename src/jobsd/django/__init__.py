"""Jobs in a project of Django: `INSTALLED_APPS = ["jobsd.django"]`.

The queue is in the database of `DATABASES` that the setting `JOBSD_DATABASE` names ("default"
unless it is set). This module imports nothing: Django loads `apps`, and `TasksBackend` if
`TASKS` names it.
"""


def __getattr__(name: str) -> object:
    """Load the backend of Django's tasks, which only Django 6 has, on first access."""
    if name == "TasksBackend":
        from .tasks import TasksBackend  # noqa: PLC0415

        return TasksBackend
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
