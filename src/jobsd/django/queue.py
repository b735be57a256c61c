"""The database of a Django project's queue, and how enqueues reach it.

A plain `enqueue` is part of the open transaction. If the queue is in the database of the
transaction, it uses Django's own connection: in the caller's `atomic` block, if there is one,
otherwise it is committed at once. If the queue has a database of its own, the enqueue waits for
the commit of the default one.
"""

import os
import sys
from collections.abc import Awaitable, Callable, Iterable
from functools import cache, partial
from importlib import import_module
from pathlib import Path
from typing import Any

from psycopg import pq
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from jobsd import handed_on as applied
from jobsd.database.connection import Target
from jobsd.database.url import passwords
from jobsd.enqueueing import after_commit, bulk, client, django_commit, drivers
from jobsd.enqueueing.awaiting_commit import Pending
from jobsd.errors import ConfigurationError, Fault
from jobsd.jobs.draft import Draft, EnqueuedJob
from jobsd.logs import redaction

from .library import conf, db

SCHEMA = "jobsd"
APP_LABEL = "jobsd"


def alias() -> str:
    """Return the name of the queue's database in `DATABASES`."""
    return str(getattr(conf.settings, "JOBSD_DATABASE", "default"))


def migrate_command() -> str:
    """Return the command that makes the tables of the queue."""
    own = alias()
    return "manage.py migrate" + ("" if own == db.DEFAULT_DB_ALIAS else f" --database {own}")


def connection() -> Any:  # noqa: ANN401 - Django's
    """Return Django's connection to the queue's database, of this thread."""
    return db.connections[alias()]


def target() -> Target:
    """Return the database of the queue; in tests, their database.

    Raises:
        ConfigurationError: when it is not PostgreSQL.
    """
    return Target(url_of(connection()), SCHEMA)


def url_of(wrapper: Any) -> str:  # noqa: ANN401 - Django's connection
    """Return the URL of a connection's database for libpq.

    Raises:
        ConfigurationError: when it is not PostgreSQL.
    """
    if wrapper.vendor != "postgresql":
        reported = f"the queue needs PostgreSQL, and this is {wrapper.vendor}"
        raise ConfigurationError((Fault(reported, f"DATABASES[{wrapper.alias!r}]"),))
    known = {option.keyword.decode() for option in pq.Conninfo.get_defaults()}
    given = wrapper.get_connection_params()
    # Encodings are set by us; options unknown to libpq are for Django and its driver.
    wanted = {
        name: str(value)
        for name, value in given.items()
        if name in known - {"client_encoding"} and value not in {None, ""}
    }
    url = make_conninfo("", **wanted)
    redaction.hide(passwords(url))
    return url


def is_elsewhere() -> bool:
    """Return whether this process was configured with a queue outside of `DATABASES`.

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


def environ(program: str | None = None) -> dict[str, str]:
    """Return the variables that our commands need in their environment, unless they are set.

    With `program`, the path of the running one, modules that it can import can be imported.
    """
    made = {
        "DJANGO_SETTINGS_MODULE": os.environ.get("DJANGO_SETTINGS_MODULE", ""),
        "JOBSD_IMPORT": "jobsd.django.setup",
    }
    configured = applied.configured()
    if configured is not None:
        made[applied.SCHEMA] = configured.schema
    made |= os.environ
    name = "QUEUE_DATABASE_URL"
    if not made.get(name):
        made[name] = url_of(connection()) if configured is None else configured.url
    if program is not None:
        folders = [str(_first_folder(Path(program))), made.get("PYTHONPATH", "")]
        made["PYTHONPATH"] = os.pathsep.join(filter(None, folders))
    return made


def _first_folder(program: Path) -> Path:
    """Return the folder in which Python searches for modules first.

    For `python -m django` it is the current one: in the folder of that program, `http` would be
    Django's.
    """
    return Path.cwd() if program.name == "__main__.py" else program.resolve().parent


def handed_on() -> dict[str, str]:
    """Return the variables by which a tree in the web server finds database and jobs."""
    url = url_of(connection())
    return {
        "DJANGO_SETTINGS_MODULE": os.environ.get("DJANGO_SETTINGS_MODULE", ""),
        "DATABASE_URL": url,
        "JOBSD_IMPORT": "jobsd.django.setup",
        **applied.pair(url, SCHEMA),
    }


asgiref: Any = import_module("asgiref.sync")


class InTransactions:
    """The destination of enqueues in a project of Django."""

    def enqueue(self, drafted: Draft, *, waits: bool) -> EnqueuedJob | None:
        """Enqueue one job as a part of the open transaction, or after it."""
        if waits and (awaited := _awaited()) is not None:
            return after_commit.enqueue(drafted, awaited, surrounded=False)
        if is_elsewhere():
            return None
        return client.enqueue(drafted, connection(), surrounded=False)

    def enqueue_many(self, jobs: Iterable[Draft], *, waits: bool) -> bulk.EnqueuedJobs | None:
        """Enqueue many jobs as a part of the open transaction, or after it."""
        if waits and (awaited := _awaited()) is not None:
            pending = [Pending(each, EnqueuedJob(None, "pending")) for each in jobs]
            if pending:
                django_commit.wait(awaited, pending)
            return bulk.PendingJobs([each.handle for each in pending])
        return None if is_elsewhere() else client.store_many(jobs, connection())

    def aenqueue(self, drafted: Draft) -> Awaitable[EnqueuedJob] | None:
        """In a test, enqueue in the test's transaction: a TestCase rolls it back."""
        if not is_in_test():
            return None
        one: Any = asgiref.sync_to_async(partial(client.enqueue, surrounded=False))(drafted)
        return one  # type: ignore[no-any-return]

    def aenqueue_many(self, jobs: Iterable[Draft]) -> Awaitable[bulk.EnqueuedJobs] | None:
        """In a test, enqueue in the test's transaction."""
        if not is_in_test():
            return None
        many: Any = asgiref.sync_to_async(client.store_many)(jobs)
        return many  # type: ignore[no-any-return]

    def at_rollback(self, undo: Callable[[], None]) -> None:
        """Call a function if the block in which an enqueue takes part is rolled back."""
        django_commit.at_rollback(_awaited() or connection(), undo)

    def driver_of_test(self) -> drivers.Driver | None:
        """Return what reads over Django's connection, in the transaction of a TestCase."""
        if not is_in_test() or is_elsewhere() or not connection().in_atomic_block:
            return None
        driver = drivers.driver_of(seen_in_test(), SCHEMA)
        return driver if isinstance(driver, drivers.PsycopgDriver) else None

    def is_in_test(self) -> bool:
        """Return whether this is Django's test environment."""
        return is_in_test()


def _awaited() -> Any:  # noqa: ANN401 - Django's
    """Return the connection with the commit for which an enqueue waits, or None."""
    elsewhere = is_elsewhere()
    if not elsewhere and alias() == db.DEFAULT_DB_ALIAS:
        return None
    default = db.connections[db.DEFAULT_DB_ALIAS]
    if not default.in_atomic_block:
        return None
    if elsewhere or not (own := connection()).in_atomic_block:
        return default
    # Both may be in the blocks of a TestCase, which production does not have.
    return default if _has_block(default) and not _has_block(own) else None


def _has_block(wrapper: Any) -> bool:  # noqa: ANN401 - Django's
    """Return whether the program has opened an atomic block, beside those of a TestCase."""
    return any(not getattr(each, "_from_testcase", False) for each in wrapper.atomic_blocks)


def seen_in_test() -> Any:  # noqa: ANN401 - Django's
    """Return the connection that sees the jobs of a test.

    A TestCase never commits: a job that waits for a block which has ended is enqueued first.
    """
    default = db.connections[db.DEFAULT_DB_ALIAS]
    if _awaited() is None and default.in_atomic_block:
        django_commit.settle_ended(default)
    return connection()
