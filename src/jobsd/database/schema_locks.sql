-- present: return the tables and views of a list that exist.
SELECT relation.relname
FROM pg_class AS relation
JOIN pg_namespace AS schema ON schema.oid = relation.relnamespace
WHERE schema.nspname = %(schema)s
    AND relation.relname = ANY (%(tables)s::text[])
    AND relation.relkind IN ('r', 'p', 'v')
ORDER BY array_position(%(tables)s::text[], relation.relname::text);

-- holders: return the oldest transaction that holds a lock on any of these tables.
SELECT
    held.pid,
    coalesce(nullif(activity.application_name, ''), activity.backend_type),
    extract(epoch FROM now() - activity.xact_start)::float8
FROM pg_locks AS held
JOIN pg_class AS relation ON relation.oid = held.relation
JOIN pg_namespace AS schema ON schema.oid = relation.relnamespace
LEFT JOIN pg_stat_activity AS activity ON activity.pid = held.pid
WHERE held.granted
    AND held.pid IS DISTINCT FROM pg_backend_pid()
    AND schema.nspname = %(schema)s
    AND relation.relname = ANY (%(tables)s::text[])
ORDER BY activity.xact_start, held.pid
LIMIT 1;

-- migrating: return the session that migrates this database.
SELECT
    held.pid,
    coalesce(nullif(activity.application_name, ''), activity.backend_type),
    extract(epoch FROM now() - activity.xact_start)::float8
FROM pg_locks AS held
LEFT JOIN pg_stat_activity AS activity ON activity.pid = held.pid
WHERE held.granted
    AND held.locktype = 'advisory'
    AND (held.classid, held.objid, held.objsubid) = (%(high)s::oid, %(low)s::oid, 1)
    AND held.database = (SELECT oid FROM pg_database WHERE datname = current_database())
ORDER BY held.pid
LIMIT 1;
