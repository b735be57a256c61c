-- server: describe the server, and return the offset of its clock from ours.
SELECT
    current_setting('server_version'),
    current_database(),
    current_user::text,
    pg_database_size(current_database()),
    clock_timestamp(),
    current_setting('max_connections')::integer,
    pg_is_in_recovery();

-- connections: count the connections to this database, by the first word of their application name.
SELECT coalesce(nullif(split_part(application_name, ' ', 1), ''), 'unnamed') AS name, count(*)
FROM pg_stat_activity
WHERE datname = current_database() AND backend_type = 'client backend'
GROUP BY name
ORDER BY count(*) DESC, name
LIMIT 20;

-- migrations: list the migrations that were applied.
SELECT version, name, applied_at
FROM jobsd.schema_migrations
ORDER BY version DESC
LIMIT 1000;

-- tables: list our tables with their sizes, by the figures that the server keeps.
SELECT
    relname::text,
    pg_total_relation_size(relid),
    pg_indexes_size(relid),
    n_live_tup,
    n_dead_tup,
    greatest(last_vacuum, last_autovacuum)
FROM pg_stat_all_tables
WHERE schemaname = %(schema)s
ORDER BY pg_total_relation_size(relid) DESC, relname
LIMIT 100;
