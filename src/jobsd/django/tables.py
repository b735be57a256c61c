"""The tables of the queue, made and kept at the version of jobsd by `manage.py migrate`."""

from __future__ import annotations

from typing import Any

from jobsd.database.connection import Target
from jobsd.database.migrate import migrate

from . import queue
from .library import db


def make(_apps: Any, schema_editor: Any) -> None:  # noqa: ANN401 - Django's
    """Bring the tables up to date, where the queue lives; a step of a migration."""
    bring_up_to_date(using=schema_editor.connection.alias)


def bring_up_to_date(*, using: str, **_facts: Any) -> None:  # noqa: ANN401
    """Do so over a connection of ours, each step in its own transaction.

    Also behind each `migrate`: a new version of jobsd has new steps.
    """
    if using == queue.alias() and db.connections[using].vendor == "postgresql":
        migrate(Target(queue.url_of(db.connections[using]), queue.SCHEMA))
