"""The page System, without secrets and values of the environment."""

from collections.abc import Iterable
from typing import Any

from jobsd.configuration.secrecy import is_secret
from jobsd.errors import ConfigurationError
from jobsd.operations.system import system

from .routes import Asked, Found, route

Row = dict[str, Any]

HIDDEN = "not shown"
FROM_ENVIRONMENT = "from the environment"


@route("/system", "system")
def show_system(asked: Asked) -> Found:
    """Read the facts of server, tables and versions, and the settings without secrets."""
    faults: list[str] = []
    settings: list[Row] = []
    try:
        settings = shown_settings(asked.settings.described())
    except ConfigurationError as error:
        # The files were changed since the start: they show the settings of the next start.
        faults = [str(error)]
    return Found({**system(asked.session), "settings": settings}, {"faults": faults})


def shown_settings(rows: Iterable[Row]) -> list[Row]:
    """Return the settings without values from the environment, and without secrets."""
    return [
        {
            "setting": row["setting"],
            "value": _shown(row),
            "seconds": row["seconds"] and not row["from_environment"],
            "source": row["source"],
        }
        for row in rows
    ]


def _shown(row: Row) -> object:
    if row["from_environment"]:
        return FROM_ENVIRONMENT
    section, _, key = str(row["setting"]).rpartition(".")
    secret = is_secret(key, below=section == "database")
    return HIDDEN if secret and row["value"] is not None else row["value"]
