"""The privileges of roles that use the tables but may not change them.

One role owns the schema and migrates it; the daemon runs as another, which has no DDL: with its
leaked password no one can drop a table, nor leave a trigger or a function behind. Other roles
may do even less: enqueue, read, or operate.
"""

import re

from .statements import quote_identifier

REMEDY = "`db grants ROLE` prints what the owner of the tables has to run"
"""The remedy for a role that may not use the tables."""

_HEAD = """\
-- To be run by the owner of the tables, once they are there. Running it again does no harm.
GRANT USAGE ON SCHEMA jobsd TO runtime;
"""

# The default privileges are for objects that the same owner adds with later versions.
_ALL = """\
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA jobsd TO runtime;
GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA jobsd TO runtime;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA jobsd TO runtime;
-- Only the owner may write which version the tables have.
REVOKE INSERT, UPDATE, DELETE ON jobsd.schema_migrations FROM runtime;
ALTER DEFAULT PRIVILEGES IN SCHEMA jobsd
    GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO runtime;
ALTER DEFAULT PRIVILEGES IN SCHEMA jobsd GRANT USAGE, SELECT ON SEQUENCES TO runtime;
ALTER DEFAULT PRIVILEGES IN SCHEMA jobsd GRANT EXECUTE ON FUNCTIONS TO runtime;
"""

# A role that had more privileges keeps none of them.
_REVOKE = """\
REVOKE ALL ON ALL TABLES IN SCHEMA jobsd FROM runtime;
REVOKE ALL ON ALL SEQUENCES IN SCHEMA jobsd FROM runtime;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA jobsd FROM runtime;
ALTER DEFAULT PRIVILEGES IN SCHEMA jobsd REVOKE ALL ON TABLES FROM runtime;
ALTER DEFAULT PRIVILEGES IN SCHEMA jobsd REVOKE ALL ON SEQUENCES FROM runtime;
ALTER DEFAULT PRIVILEGES IN SCHEMA jobsd REVOKE ALL ON FUNCTIONS FROM runtime;
"""

_ENQUEUE_ONLY = """\
-- It enqueues by a function that runs as the owner of the tables, and reads nothing of them but
-- their version, and how jobs are defined.
GRANT SELECT ON jobsd.schema_migrations TO runtime;
GRANT EXECUTE ON FUNCTION jobsd.submit(jsonb), jobsd.definition_of(text) TO runtime;
"""

_READ_ONLY = """\
GRANT SELECT ON ALL TABLES IN SCHEMA jobsd TO runtime;
ALTER DEFAULT PRIVILEGES IN SCHEMA jobsd GRANT SELECT ON TABLES TO runtime;
"""

_OPERATE = """\
-- It retries, discards, pauses, clears and runs what there is; a job keeps its class and its
-- arguments, and tasks keep what they run. Jobs end and are placed by functions with
-- the caller's rights.
GRANT EXECUTE ON FUNCTION jobsd.end_jobs, jobsd.place_jobs TO runtime;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA jobsd TO runtime;
GRANT INSERT, DELETE, UPDATE (
    attempts, scheduled_at, started_at, finished_at, outcome, reason, unique_until, set_aside_at
) ON jobsd.jobs TO runtime;
GRANT INSERT, UPDATE, DELETE ON
    jobsd.ready_executions, jobsd.scheduled_executions, jobsd.blocked_executions,
    jobsd.parked_executions, jobsd.failed_executions, jobsd.failure_counts,
    jobsd.unique_jobs, jobsd.discard_keys, jobsd.attempts, jobsd.results,
    jobsd.expirations, jobsd.pauses, jobsd.audit
TO runtime;
GRANT INSERT, UPDATE ON jobsd.recurring_executions TO runtime;
GRANT UPDATE (
    enabled, disabled_at, disabled_by, planned_from, updated_at, last_run_at, runs_count,
    missed_count
) ON jobsd.recurring_tasks TO runtime;
"""

KINDS = {
    "all": _HEAD + _ALL,
    "enqueue-only": _HEAD + _REVOKE + _ENQUEUE_ONLY,
    "read-only": _HEAD + _REVOKE + _READ_ONLY,
    "operate": _HEAD + _REVOKE + _READ_ONLY + _OPERATE,
}
"""The statements of each kind of role."""

_NAMES = re.compile(r"\b(?:jobsd|runtime)\b")


def grants(schema: str, role: str, kind: str = "all") -> str:
    """Return the statements that give `role` the privileges of `kind` in `schema`."""
    names = {"jobsd": quote_identifier(schema), "runtime": quote_identifier(role)}
    return _NAMES.sub(lambda found: names[found[0]], KINDS[kind])
