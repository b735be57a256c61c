-- marks: return a mark for each part of the dashboard, which differs once the part has changed. It
-- is computed from the ends of indexes, tables of a few rows, and the server's counters of changes.
-- The counters lag up to ten seconds behind a session that has gone idle, so the parts that people
-- watch most have marks of their own. Claims change with each turn of each worker.
WITH counted AS MATERIALIZED (
    SELECT relname, n_tup_ins + n_tup_upd + n_tup_del AS changes
    FROM pg_catalog.pg_stat_user_tables
    WHERE schemaname = %(schema)s
)
SELECT part, mark || ' ' || (SELECT coalesce(sum(changes), 0) FROM counted WHERE relname = ANY (tables))
FROM (VALUES
    (
        'jobs',
        ARRAY[
            'jobs', 'ready_executions', 'parked_executions', 'scheduled_executions',
            'blocked_executions', 'failed_executions', 'claims', 'attempts'
        ],
        concat_ws(
            ' ',
            (SELECT max(id) FROM jobsd.jobs),
            (SELECT max(job_id) FROM jobsd.failed_executions),
            (
                SELECT count(*) || ' ' || coalesce(sum(hashtext(ctid::text || xmin::text)), 0)
                FROM (SELECT ctid, xmin FROM jobsd.claims ORDER BY id LIMIT 500) AS claim
            )
        )
    ),
    (
        'queues',
        ARRAY['pauses'],
        (
            SELECT count(*) || ' ' || coalesce(sum(hashtext(ctid::text || xmin::text)), 0)
            FROM (SELECT ctid, xmin FROM jobsd.pauses ORDER BY queue_name LIMIT 500) AS pause
        )
    ),
    (
        'processes',
        ARRAY['processes'],
        (
            SELECT count(*) || ' ' || coalesce(sum(hashtext(ctid::text || xmin::text)), 0)
            FROM (SELECT ctid, xmin FROM jobsd.processes ORDER BY id LIMIT 500) AS process
        )
    ),
    (
        'recurring',
        ARRAY['recurring_tasks', 'recurring_executions'],
        (
            SELECT count(*) || ' ' || coalesce(sum(hashtext(ctid::text || xmin::text)), 0)
            FROM (SELECT ctid, xmin FROM jobsd.recurring_tasks ORDER BY key LIMIT 500) AS task
        )
    ),
    (
        'heartbeats',
        ARRAY['heartbeat_logs'],
        (SELECT max(id) FROM jobsd.heartbeat_logs)::text
    ),
    (
        'history',
        ARRAY['history_minutes', 'history_hours'],
        (SELECT max(minute) FROM jobsd.history_minutes)::text
    ),
    (
        'acts',
        ARRAY['audit'],
        (
            SELECT coalesce(sum(hashtext(ctid::text || xmin::text)), 0)
            FROM (SELECT ctid, xmin FROM jobsd.audit ORDER BY id DESC LIMIT 20) AS act
        )::text
    )
) AS checked (part, tables, mark);
