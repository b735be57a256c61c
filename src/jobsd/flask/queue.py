"""The database of a Flask application's queue, for itself and for `flask jobs` alike."""

import os
import re
from pathlib import Path
from typing import Any, cast

from flask import Flask

from jobsd import handed_on as applied
from jobsd.configuration.target import find_schema, find_target
from jobsd.database.connection import Target


def target(app: Flask) -> Target:
    """Return the database of an application's jobs.

    Raises:
        ConfigurationError: when neither its configuration nor the environment names one.
    """
    return find_target(Path.cwd(), environ(app))


def schema(app: Flask) -> str:
    """Return the schema of the tables of jobs.

    Raises:
        ConfigurationError: with the faults of queue.yml.
    """
    return find_schema(Path.cwd(), environ(app))


def environ(app: Flask) -> dict[str, str]:
    """Return the environment, with the application's settings of the queue."""
    made = {**applied.of_program(), **os.environ}
    if url := _configuration(app).get("JOBSD_DATABASE_URL"):
        made["QUEUE_DATABASE_URL"] = str(url)
    elif uri := _of_sqlalchemy(app):
        made.setdefault("DATABASE_URL", uri)
    return made


def handed_on(app: Flask) -> dict[str, str]:
    """Return the variables by which a tree in the web server finds database and jobs.

    The application itself only where FLASK_APP names it: a server may have called a factory.
    """
    own = _configuration(app).get("JOBSD_DATABASE_URL")
    url = own or _of_sqlalchemy(app)
    made: dict[str, str] = {}
    if url:
        # A queue that has a setting of its own may well be elsewhere than SQLAlchemy's tables.
        only_against = () if own else ("DATABASE_URL",)
        made = {
            "DATABASE_URL": str(url),
            **applied.pair(str(url), schema(app), *only_against),
        }
    if os.environ.get("FLASK_APP"):
        made["JOBSD_IMPORT"] = "jobsd.flask.setup"
    return made


def _of_sqlalchemy(app: Flask) -> str | None:
    """Return the URL given to Flask-SQLAlchemy, without its driver; None: no PostgreSQL."""
    given: Any = _configuration(app).get("SQLALCHEMY_DATABASE_URI") or ""
    if hasattr(given, "render_as_string"):
        given = given.render_as_string(hide_password=False)
    plain = re.sub(r"^postgresql\+\w+:", "postgresql:", str(given))
    return plain if plain.startswith("postgresql:") else None


def _configuration(app: Flask) -> dict[str, Any]:
    """Return the application's configuration, with types: Flask has none for its values."""
    return cast("dict[str, Any]", app.config)
