"""Where the queue of a Django project lives: in one of its databases."""

import os
import sys
from functools import cache
from typing import Any

from psycopg import pq
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from jobsd.database.connection import Target
from jobsd.database.url import passwords
from jobsd.errors import ConfigurationError, Fault
from jobsd.instruments import redaction
from jobsd.jobs import client

from .library import conf, db

SCHEMA = "jobsd"


def alias() -> str:
    """Return the name of the queue's database in `DATABASES`."""
    return str(getattr(conf.settings, "JOBSD_DATABASE", "default"))


def connection() -> Any:  # noqa: ANN401 - Django's
    """Return Django's connection to the queue's database, of this thread."""
    return db.connections[alias()]


def target() -> Target:
    """Return where the queue is, in tests that of their database.

    Raises:
        ConfigurationError: when that is no PostgreSQL.
    """
    return Target(url_of(connection()), SCHEMA)


def url_of(wrapper: Any) -> str:  # noqa: ANN401 - Django's connection
    """Return what libpq needs to reach the database of a connection.

    Raises:
        ConfigurationError: when it is no PostgreSQL.
    """
    if wrapper.vendor != "postgresql":
        reported = f"the queue needs PostgreSQL, and this is {wrapper.vendor}"
        raise ConfigurationError((Fault(reported, f"DATABASES[{wrapper.alias!r}]"),))
    known = {option.keyword.decode() for option in pq.Conninfo.get_defaults()}
    given = wrapper.get_connection_params()
    # Encodings are ours to say; what libpq does not know is for Django and its driver.
    wanted = {
        name: str(value)
        for name, value in given.items()
        if name in known - {"client_encoding"} and value not in {None, ""}
    }
    url = make_conninfo("", **wanted)
    redaction.hide(passwords(url))
    return url


def is_elsewhere() -> bool:
    """Return whether this process was configured with a queue that is in no such database.

    So are the commands and workers of a project whose queue.yml, or environment, names one.
    """
    configured = client.configured_target()
    if configured is None:
        return False
    wrapper = connection()
    name = wrapper.settings_dict["NAME"]
    return wrapper.vendor != "postgresql" or not _is_at(configured.url, wrapper.alias, name)


@cache
def _is_at(url: str, alias: str, _name: str) -> bool:
    return _place_of(url) == _place_of(url_of(db.connections[alias]))


def _place_of(url: str) -> tuple[object, ...]:
    parts = conninfo_to_dict(url)
    return parts.get("dbname"), parts.get("host"), str(parts.get("port") or 5432)


def is_in_test() -> bool:
    """Return whether this is Django's test environment, which has an `outbox`."""
    return hasattr(sys.modules.get("django.core.mail"), "outbox")


def environ() -> dict[str, str]:
    """Return what our commands have to find in their environment, as far as it isn't set."""
    made = {
        "DJANGO_SETTINGS_MODULE": os.environ.get("DJANGO_SETTINGS_MODULE", ""),
        "QUEUE_DATABASE_URL": url_of(connection()),
        "JOBSD_IMPORT": "jobsd.django.setup",
    }
    return made | dict(os.environ)
