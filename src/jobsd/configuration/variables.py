"""The variables of the environment that jobsd reads, each once.

The page of the variables, `help variables` and the manual page are made of this table. The
variables of settings stand in the rows of the settings.
"""

from collections.abc import Iterator

from .flags import ROWS

OTHERS = {
    "JOBSD_EMBEDDED": (
        "1: an embedded PostgreSQL may be made in any environment, also under systemd;"
        " 0: none is used."
    ),
    "JOBSD_EMBEDDED_DIR": (
        "The folder of the embedded PostgreSQL. Default: storage/postgres of the project; for"
        " root a folder in /var/lib/jobsd-embedded."
    ),
    "JOBSD_PG_BINDIR": "The folder of the binaries of the embedded PostgreSQL.",
    "JOBSD_PG_USER": (
        "As root: the user of the embedded PostgreSQL. Default: postgres, else nobody."
    ),
    "JOBSD_IN_WEB": "1: the web server starts the daemon, and ends it.",
    "JOBSD_WEB_USER": "The name of the one admin of the dashboard.",
    "JOBSD_WEB_PASSWORD": "The admin's password.",
    "JOBSD_WEB_TOKEN": "The admin's token, for programs.",
    "DJANGO_SETTINGS_MODULE": "The settings of the Django project whose database is used.",
    "FLASK_APP": "The Flask application whose database is used.",
    "NO_COLOR": "Anything: no colours, in output and log.",
    "CLICOLOR_FORCE": "1: colours, also in a pipe.",
}
"""The variables that belong to no setting, and what they do."""


def variables() -> Iterator[tuple[str, str]]:
    """Yield each variable, and what it does."""
    for row in ROWS:
        default = "" if row.default in {"null", "false", ""} else f" Default: {row.default}."
        if row.variable:
            yield row.variable, f"{row.sentence}{default}"
        if row.fallback:
            yield row.fallback, f"The same, if neither {row.variable} nor the file gives it."
    yield from OTHERS.items()
