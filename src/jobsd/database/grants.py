"""The privileges of a role that uses the tables but may not change them.

One role owns the schema and migrates it; the daemon and the programs that enqueue run as
another, which has no DDL: a leaked password of it can't drop a table, nor leave a trigger or
a function behind.
"""

from __future__ import annotations

import re

from .statements import quote_identifier

REMEDY = "`db grants ROLE` prints what the owner of the tables has to run"
"""What to do about a role that may not use the tables."""

# The default privileges are for what the same owner will add with later versions.
_GRANTS = """\
-- To be run by the owner of the tables, once they are there. Running it again does no harm.
GRANT USAGE ON SCHEMA jobsd TO runtime;
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

_NAMES = re.compile(r"\b(?:jobsd|runtime)\b")


def grants(schema: str, role: str) -> str:
    """Return the statements that let `role` use the tables in `schema`."""
    names = {"jobsd": quote_identifier(schema), "runtime": quote_identifier(role)}
    return _NAMES.sub(lambda found: names[found[0]], _GRANTS)
