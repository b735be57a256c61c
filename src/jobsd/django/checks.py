"""The checks of the queue in `manage.py check`."""

from typing import Any

from . import library, queue


def check_database(**_options: Any) -> list[Any]:  # noqa: ANN401 - Django's
    """Return the faults of the queue's database settings, without a connection."""
    alias = queue.alias()
    if alias not in library.conf.settings.DATABASES:
        reported = f"JOBSD_DATABASE: there is no {alias!r} in DATABASES"
        hint = f"There are: {', '.join(library.db.connections)}"
        return [library.checks.Error(reported, hint=hint, id="jobsd.E001")]
    if queue.connection().vendor != "postgresql":
        reported = f"the queue is in DATABASES[{alias!r}], which is not PostgreSQL"
        hint = "Name one that is in JOBSD_DATABASE."
        return [library.checks.Error(reported, hint=hint, id="jobsd.E002")]
    return []


def check_routers(**_options: Any) -> list[Any]:  # noqa: ANN401 - Django's
    """Return a warning if `migrate` would not keep the queue's tables in its own database."""
    own, default = queue.alias(), library.db.DEFAULT_DB_ALIAS
    if own == default or not library.db.router.allow_migrate(default, queue.APP_LABEL):
        return []
    reported = f"no router keeps the tables of the queue in DATABASES[{own!r}], and others out"
    hint = (
        'Add "jobsd.django.Router" to DATABASE_ROUTERS, and run'
        f" `{queue.migrate_command()}` too."
    )
    return [library.checks.Warning(reported, hint=hint, id="jobsd.W001")]
