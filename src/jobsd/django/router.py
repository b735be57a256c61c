"""Keeps the tables of the queue in its own database, and those of models out of it."""

from . import queue
from .library import db


class Router:
    """`DATABASE_ROUTERS = ["jobsd.django.Router"]`, where `JOBSD_DATABASE` names another alias.

    Routers before it decide first, such as one of a project that keeps models there, too.
    """

    def allow_migrate(self, db_alias: str, app_label: str, **_hints: object) -> bool | None:
        """Return whether the app has tables in the database; None leaves it to others."""
        own = queue.alias()
        if own == db.DEFAULT_DB_ALIAS:
            return None
        if app_label == queue.APP_LABEL:
            return db_alias == own
        return False if db_alias == own else None
