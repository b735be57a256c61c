"""The settings of our sessions, asynchronous or not.

Through a pooler no setting can be made on a session: there each statement of a session that is
not asynchronous carries the settings that it can, for its own transaction.
"""

from collections.abc import Mapping

from psycopg import errors

# A plan made while a table was empty must not read or sort all of it once it is full: with
# these off, the planner walks an index even if its statistics show no rows.
_PLANS: tuple[str, ...] = (
    "enable_seqscan",
    "enable_bitmapscan",
    "enable_sort",
    "enable_hashjoin",
    "enable_mergejoin",
    "jit",
)

# Defaults of a role or a database that would break our statements: the guarantees need to see
# rows that were committed during the wait for a lock, psycopg parses timestamps in this form
# only, and a NULL in an array must not be read as a text.
_DEFAULTS = {
    "default_transaction_isolation": "read committed",
    "datestyle": "ISO",
    "array_nulls": "on",
}
NEEDED = {"jit": "off"} | _DEFAULTS
"""Required prefixes of settings, without which our statements don't work, or take seconds."""

# Ends a statement that we have abandoned: the server cancels it once it sees that our end is
# gone, and a wait for a lock even before our deadline, so that we learn of it.
_SETTINGS = {"client_connection_check_interval": "2s"} | _DEFAULTS

LOCK_SHARE = 0.8
"""The part of a deadline for which a statement waits for a lock."""

CLIENT_CHECK = "client_connection_check_interval"
NOT_HERE = (errors.InvalidParameterValue, errors.UndefinedObject)
"""Raised on platforms on which the server can't see that a client is gone: without
`CLIENT_CHECK` the others are still set."""


def settings(deadline_s: float, *, plan_once: bool = False) -> dict[str, str]:
    """Return the settings of a session with this deadline."""
    wanted = _SETTINGS | dict.fromkeys(_PLANS, "off")
    wanted["lock_timeout"] = f"{deadline_s * LOCK_SHARE * 1000:.0f}ms"
    if plan_once:
        wanted["plan_cache_mode"] = "force_generic_plan"
    return wanted


def setting_query(wanted: Mapping[str, str]) -> bytes:
    """Return the query that makes the settings if its parameter is the server's own process id.

    A pooler invents the id that it sends to its clients: the query then returns NULL.
    """
    pairs = ", ".join(f"set_config('{name}', '{to}', false)" for name, to in wanted.items())
    return f"SELECT CASE WHEN pg_backend_pid() = %s THEN ARRAY[{pairs}] END".encode()


def missing(session_has: Mapping[str, str]) -> dict[str, str]:
    """Return the `NEEDED` settings that a session lacks, with their values."""
    return {
        name: wanted
        for name, wanted in NEEDED.items()
        if not session_has[name].startswith(wanted)
    }


def carrying_query(deadline_s: float) -> bytes:
    """Return the query that makes settings for the transaction that it is sent in.

    Without them the server may compile a claim, which takes it seconds, and each time again:
    behind a pooler no statement is prepared.
    """
    wanted = settings(deadline_s)
    carried = (*_PLANS, "lock_timeout", "array_nulls")
    pairs = ", ".join(f"set_config('{name}', '{wanted[name]}', true)" for name in carried)
    return f"SELECT {pairs}".encode()
