-- record: insert a heartbeat, with the key of the recurring task that enqueued its job, if one did:
-- then the job is among the last day's runs of a task of this class.
INSERT INTO jobsd.heartbeat_logs (environment, hostname, task_key)
VALUES (
    %(environment)s,
    %(hostname)s,
    (
        SELECT task.key
        FROM jobsd.recurring_tasks AS task
        JOIN jobsd.recurring_executions AS run
            ON run.task_key = task.key AND run.run_at >= now() - interval '1 day'
        WHERE task.class_name = %(class_name)s AND run.job_id = %(job_id)s::bigint
        LIMIT 1
    )
)
RETURNING id, executed_at, environment, hostname;

-- select: list heartbeats, the latest first.
SELECT id, executed_at, environment, hostname
FROM jobsd.heartbeat_logs
WHERE (%(hostname)s::text IS NULL OR hostname = %(hostname)s)
    AND (NOT %(of_tasks)s::boolean OR task_key IS NOT NULL)
    AND (%(since)s::timestamptz IS NULL OR executed_at >= %(since)s)
    AND (
        %(within_s)s::float8 IS NULL
        OR executed_at >= now() - make_interval(secs => %(within_s)s::float8)
    )
ORDER BY executed_at DESC, id DESC
LIMIT %(limit)s;

-- gaps: list the times without a heartbeat that are longer than `longest_s`, up to now. A gap
-- may begin with the last heartbeat before the window; without one the first gap begins with
-- the window's first heartbeat.
WITH bounds AS (
    SELECT
        now() AS until,
        coalesce(
            %(since)s::timestamptz, now() - make_interval(secs => %(within_s)s::float8)
        ) AS since
), beat AS (
    SELECT max(log.executed_at) AS executed_at
    FROM bounds
    JOIN jobsd.heartbeat_logs AS log ON log.executed_at < bounds.since
    HAVING max(log.executed_at) IS NOT NULL
    UNION ALL
    SELECT log.executed_at
    FROM bounds
    JOIN jobsd.heartbeat_logs AS log ON log.executed_at BETWEEN bounds.since AND bounds.until
    UNION ALL
    SELECT until
    FROM bounds
), pair AS (
    SELECT lag(executed_at) OVER (ORDER BY executed_at) AS from_, executed_at AS until
    FROM beat
)
SELECT from_, until
FROM pair
WHERE until - from_ > make_interval(secs => %(longest_s)s::float8)
UNION ALL
-- Without any heartbeat the whole window is one gap.
SELECT since, until
FROM bounds
WHERE (SELECT count(*) FROM beat) = 1
ORDER BY from_
LIMIT 10000;

-- clear: delete some of the heartbeats that are older than `keep_s`, but never the last.
DELETE FROM jobsd.heartbeat_logs
WHERE ctid = ANY (ARRAY(
    SELECT ctid
    FROM jobsd.heartbeat_logs
    WHERE executed_at < now() - make_interval(secs => %(keep_s)s::float8)
        AND executed_at < (SELECT max(executed_at) FROM jobsd.heartbeat_logs)
    ORDER BY executed_at, id
    LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
))
RETURNING 1;
