-- processes: list the series of metrics of the processes, with the number of processes in each and
-- the age of their oldest heartbeat. A series is named by the host, the tree, the kind and the
-- number of the child, so a successor continues it. A process whose row has no number (written by
-- an older program) is named by its own name; a process that registered before its tree was known
-- has no name yet, because it would begin a series that ends at once.
SELECT
    process.kind,
    CASE
        WHEN process.metadata ? 'number' AND supervisor.metadata ? 'tree'
            THEN concat_ws(
                '/', process.hostname, supervisor.metadata ->> 'tree',
                process.kind || '-' || (process.metadata ->> 'number')
            )
        WHEN NOT process.metadata ? 'number' OR supervisor.id <> process.id
            THEN process.name
    END AS series,
    count(*),
    max(greatest(0, extract(epoch FROM now() - process.last_heartbeat_at)))::float8
FROM jobsd.processes AS process
LEFT JOIN jobsd.processes AS supervisor
    ON supervisor.id = coalesce(process.supervisor_id, process.id)
GROUP BY process.kind, series
ORDER BY process.kind, series
LIMIT 10000;

-- tasks: list the recurring tasks: the numbers of enqueued and missed runs, the time of the last
-- run, the number of failed jobs among its last five runs, its schedule, and whether it is disabled.
SELECT
    key, runs_count, missed_count, extract(epoch FROM last_run_at)::float8,
    (
        SELECT count(*)
        FROM (
            SELECT job_id
            FROM jobsd.recurring_executions AS run
            WHERE run.task_key = task.key
            ORDER BY run_at DESC
            LIMIT 5
        ) AS latest
        JOIN jobsd.failed_executions AS failed ON failed.job_id = latest.job_id
    ),
    CASE WHEN enabled AND disabled_at IS NULL THEN schedule END, time_zone,
    NOT enabled OR disabled_at IS NOT NULL
FROM jobsd.recurring_tasks AS task
ORDER BY key
LIMIT 10000;

-- server: return when the heartbeat job last ran, and the server's version.
SELECT extract(epoch FROM max(executed_at))::float8, current_setting('server_version')
FROM jobsd.heartbeat_logs;

-- pauses: list the queues that are paused, without the pause of everything.
SELECT queue_name
FROM jobsd.pauses
WHERE queue_name <> '*'
ORDER BY queue_name
LIMIT 10000;

-- tables: list our tables, the size of each with its indexes, and the server's count of its dead
-- rows.
SELECT
    counted.relname,
    coalesce(pg_total_relation_size(counted.relid), 0),
    pg_stat_get_live_tuples(counted.relid),
    pg_stat_get_dead_tuples(counted.relid)
FROM (
    SELECT relname, oid AS relid
    FROM pg_class
    WHERE relkind = 'r'
        AND relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = 'jobsd.jobs'::regclass)
) AS counted
ORDER BY counted.relname
LIMIT 1000;

-- oldest_transaction: return the age of the oldest transaction in this database, including prepared
-- ones. Only a role with pg_read_all_stats sees the transactions of other roles.
SELECT coalesce(extract(epoch FROM clock_timestamp() - min(began)), 0)::float8
FROM (
    SELECT xact_start AS began
    FROM pg_stat_activity
    WHERE datname = current_database()
        AND backend_type = 'client backend'
        AND pid <> pg_backend_pid()
    UNION ALL
    SELECT prepared FROM pg_prepared_xacts WHERE database = current_database()
) AS transactions;

-- busy: count the running jobs by queue.
SELECT queue_name, count(*)
FROM jobsd.jobs
WHERE id = ANY (%(ids)s::bigint[])
GROUP BY queue_name;

-- arrivals: return the stored numbers of jobs that have ended in each queue and have been enqueued.
SELECT queue_name, ended, gone, enqueued
FROM jobsd.arrivals
ORDER BY queue_name
LIMIT 10000;

-- run_times: return the mean run time of the jobs of each queue, in the last quarter of an hour.
SELECT queue_name, (sum(run_s) / sum(finished + failed + retried))::float8
FROM jobsd.history_minutes
WHERE minute > now() - interval '15 minutes'
GROUP BY queue_name
HAVING sum(finished + failed + retried) > 0
ORDER BY queue_name
LIMIT 10000;

-- snapshot: begin a transaction in which all statements read one snapshot.
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;

-- end: end this transaction.
COMMIT;
