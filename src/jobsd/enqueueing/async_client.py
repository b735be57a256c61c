"""Enqueues jobs from an event loop, one by one or many at once.

Each enqueue has a connection of its loop's pool to itself meanwhile.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import psycopg
from psycopg import errors

from jobsd.database.async_connection import AsyncDeadlineConnection
from jobsd.errors import EnqueueError
from jobsd.jobs.default_database import NOT_GIVEN
from jobsd.jobs.draft import Draft, EnqueuedJob

from . import backend, client, submission
from .async_drivers import AsyncPsycopgDriver, async_driver_of, take
from .async_pool import connection_of
from .bulk import Bulk, EnqueuedJobs
from .connections import PlainAsyncCursor, has_to_begin, is_asynchronous_sqlalchemy, run_sync
from .drivers import commits_itself
from .enqueue import met_a_replacement, refusal, refused, reported, request, steps_within
from .steps import within_savepoint


async def store(drafted: Draft, connection: object = NOT_GIVEN) -> EnqueuedJob:
    """Store one job: committed when this returns, or as part of `connection`'s transaction."""
    if backend.active is not None:
        return backend.active.enqueue(drafted)
    if connection is NOT_GIVEN:
        if backend.framework is not None and (placed := backend.framework.aenqueue(drafted)):
            return await placed
        async with connection_of(client.default_client()) as mine:
            return reported(drafted, await _store(mine, drafted))
    if is_asynchronous_sqlalchemy(connection):
        within: EnqueuedJob = await run_sync(
            connection, lambda inner: client.enqueue(drafted, inner, surrounded=False)
        )
        return within
    schema = client.schema_of_tables()
    driver = async_driver_of(connection, schema)
    with refused(doubtful=commits_itself(driver)):
        return await take(steps_within(drafted, schema), driver)


async def _store(mine: AsyncDeadlineConnection, job: Draft) -> Sequence[Any]:
    try:
        return await _store_once(mine, job)
    except EnqueueError as error:
        if not met_a_replacement(error.__cause__):
            raise
        return await _store_once(mine, job)


async def _store_once(mine: AsyncDeadlineConnection, job: Draft) -> Sequence[Any]:
    schema = client.schema_of_tables()
    statement, parameters = request(job, always=False)
    refused_by_tables: Exception | None = None
    try:
        if not submission.is_known(schema):
            try:
                (row,) = await mine.fetch_prepared(statement, parameters)
            except errors.InsufficientPrivilege as error:
                refused_by_tables = error
            else:
                return row
        try:
            (row,) = await mine.fetch_prepared(*submission.request(job, always=False))
        except errors.InsufficientPrivilege:
            if refused_by_tables is None:
                raise
            raise refused_by_tables from None
    except (psycopg.Error, UnicodeEncodeError) as error:
        raise refusal(error, doubtful=True) from error
    submission.know(schema)
    return row


async def store_many(jobs: Iterable[Draft], connection: object = NOT_GIVEN) -> EnqueuedJobs:
    """Store many jobs, all or none: committed, or as part of `connection`'s transaction."""
    if backend.active is not None:
        return backend.active.enqueue_many(jobs)
    if connection is NOT_GIVEN:
        if backend.framework is not None and (placed := backend.framework.aenqueue_many(jobs)):
            return await placed
        async with connection_of(client.default_client()) as mine:
            return await _enqueue_all(mine, client.schema_of_tables(), jobs, owned=True)
    if is_asynchronous_sqlalchemy(connection):
        within: EnqueuedJobs = await run_sync(
            connection, lambda inner: client.store_many(jobs, inner)
        )
        return within
    driver = async_driver_of(connection, client.schema_of_tables())
    if isinstance(driver, AsyncPsycopgDriver):
        raw = driver.connection
        with refused():
            if has_to_begin(raw):
                await PlainAsyncCursor(raw).execute("SELECT")
        return await _enqueue_all(raw, client.schema_of_tables(), jobs, owned=False)
    bulk = Bulk(iter(jobs), client.schema_of_tables(), owned=False)
    with refused():
        await take(within_savepoint(bulk.steps(copies=False)), driver)
    return bulk.report()


async def _enqueue_all(
    connection: psycopg.AsyncConnection[Any],
    schema: str,
    jobs: Iterable[Draft],
    *,
    owned: bool,
) -> EnqueuedJobs:
    bulk = Bulk(iter(jobs), schema, owned=owned)
    commits = False
    try:
        async with connection.transaction():
            await take(bulk.steps(), AsyncPsycopgDriver(connection, schema))
            commits = owned
    except (psycopg.Error, OverflowError, UnicodeEncodeError) as error:
        raise refusal(error, doubtful=commits) from error
    return bulk.report()
