"""Decides whether an idle connection may be lent, by its socket or by a query."""

import select

import psycopg

from jobsd.database.async_connection import AsyncDeadlineConnection
from jobsd.database.connection import Session, Statement

ANSWER_S = 1.0

READ_ONLY = Statement("read_only", "SELECT current_setting('transaction_read_only')::boolean")


def stands(session: Session) -> bool:
    """Return whether an idle connection still stands, without asking the server.

    Nothing is to be read from it: if something is, it is the server's goodbye, or a
    notice, and a new connection is the safe answer to both.
    """
    if not session.connected:
        return False
    poller = select.poll()
    poller.register(session.connection.fileno(), select.POLLIN)
    return not poller.poll(0)


def takes_jobs(session: Session) -> bool:
    """Ask the server whether it is one that takes jobs: one round trip.

    A firewall between may have forgotten the connection, and the server may have become a
    standby: neither is seen from here.
    """
    try:
        ((read_only,),) = session.fetch_prepared(READ_ONLY, {}, within_s=ANSWER_S)
    except psycopg.Error:
        return False
    return not read_only


async def takes_jobs_async(connection: AsyncDeadlineConnection) -> bool:
    """Do what `takes_jobs` does; close a connection that leads to none."""
    usual = connection.deadline_s
    connection.deadline_s = min(ANSWER_S, usual)
    try:
        ((read_only,),) = await connection.fetch_prepared(READ_ONLY, {})
    except psycopg.Error:
        connection.part()
        return False
    finally:
        connection.deadline_s = usual
    if read_only:
        connection.part()
    return not read_only
